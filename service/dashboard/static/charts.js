// Charts: uPlot draws the table beside each, in the theme's colours, with deploys and troubles marked.
import { minuteText } from "./time.js";

const WIDE_HEIGHT = 300, NARROW_HEIGHT = 200, NARROW_PX = 520;
// As in `.line.*` of dashboard.css: also told apart by their dashes.
const DASHES = { enqueued: [5, 3], retried: [1.5, 3] };
const drawn = new Map();

/** Resolve a custom property, which holds `light-dark(…)`, to the present theme's colour. */
function colour(name) {
  const probe = document.createElement("span");
  probe.hidden = true;
  probe.className = `probe-${name}`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function dataOf(figure) {
  const lines = [...figure.querySelectorAll("th[data-line]")].map((head) => head.dataset.line);
  const rows = [...figure.querySelectorAll("tbody tr")];
  // A minute's rate is known at its end; the last minute counts as far as it has come.
  const until = Date.parse(figure.dataset.until) / 1000;
  const ends = rows.map((row) => Math.min(Date.parse(row.querySelector("time").dateTime) / 1000 + 60, until));
  const values = lines.map((_, at) => rows.map((row) => Number(row.querySelectorAll("td")[at].dataset.value)));
  return { lines, data: [ends, ...values] };
}

const moments = (figure, name) =>
  [...figure.querySelectorAll(`data[data-${name}]`)].map((one) => ({ at: Date.parse(one.dataset[name]) / 1000, words: one.value }));

function label(plot, words, x, { tone, soft = null, atEnd = false, within = false }) {
  const { ctx, bbox } = plot, ratio = devicePixelRatio, padding = 6 * ratio, height = 18 * ratio;
  ctx.font = `500 ${12 * ratio}px ${getComputedStyle(document.body).fontFamily}`;
  let text = words;
  while (text.length > 4 && ctx.measureText(text).width > bbox.width - 2 * padding) text = `${text.slice(0, -2)}…`;
  const width = ctx.measureText(text).width + 2 * padding;
  const left = Math.min(Math.max(atEnd ? x - width : x, bbox.left), bbox.left + bbox.width - width);
  const top = within ? bbox.top + 2 * ratio : bbox.top - height - 2 * ratio;
  if (soft) { ctx.fillStyle = soft; ctx.fillRect(left, top, width, height); }
  ctx.fillStyle = tone;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  ctx.fillText(text, left + padding, top + height / 2);
}

const inside = (plot, at) => at >= plot.scales.x.min && at <= plot.scales.x.max;

function drawSpans(plot, figure) {
  const spans = moments(figure, "span");
  const { ctx, bbox } = plot;
  ctx.save();
  for (const span of spans.slice(0, 1)) {
    const from = plot.valToPos(Math.max(span.at, plot.scales.x.min), "x", true), to = bbox.left + bbox.width;
    ctx.fillStyle = colour("failed-soft");
    ctx.fillRect(from, bbox.top, to - from, bbox.height);
    label(plot, span.words, to, { tone: colour("failed"), atEnd: true, within: moments(figure, "mark").length > 0 });
  }
  ctx.restore();
}

function drawMarks(plot, figure) {
  const { ctx, bbox } = plot;
  ctx.save();
  for (const mark of moments(figure, "mark").filter((one) => inside(plot, one.at))) {
    const x = Math.round(plot.valToPos(mark.at, "x", true));
    ctx.strokeStyle = colour("chart-mark");
    ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top - 4 * devicePixelRatio);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    label(plot, mark.words, x, { tone: colour("accent-strong"), soft: colour("accent-soft") });
  }
  ctx.restore();
}

/** Divide the time into equal parts; the last one ends now. */
function times({ scales: { x: { min, max } } }, parts) {
  return Array.from({ length: parts + 1 }, (_, number) => (number === parts ? max : min + ((max - min) * number) / parts));
}

function optionsOf(figure, place, lines) {
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const width = Math.max(place.clientWidth, 120), narrow = width < NARROW_PX;
  const axis = { stroke: colour("ink-3"), font, ticks: { show: false } };
  return {
    width,
    height: narrow ? NARROW_HEIGHT : WIDE_HEIGHT,
    padding: [moments(figure, "mark").length || moments(figure, "span").length ? 24 : 8, 16, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_, __, max) => [0, Math.max(max * 1.1, 0.1)] } },
    axes: [
      { ...axis, grid: { show: false }, size: 26, splits: (plot) => times(plot, narrow ? 2 : 4), values: (plot, at) => at.map((one) => (one === plot.scales.x.max ? "now" : minuteText(one * 1000))) },
      { ...axis, grid: { stroke: colour("chart-grid"), width: 1 }, size: 44, space: 48 },
    ],
    series: [{}, ...lines.map((name) => ({
      label: name,
      stroke: colour(`chart-${name}`),
      width: 1.75,
      dash: DASHES[name],
      fill: name === "succeeded" ? colour("chart-fill") : undefined,
      points: { show: false },
    }))],
    hooks: { drawClear: [(plot) => drawSpans(plot, figure)], draw: [(plot) => drawMarks(plot, figure)] },
  };
}

function draw(figure) {
  const place = figure.querySelector(".plot");
  const { lines, data } = dataOf(figure);
  drawn.get(figure)?.destroy();
  drawn.set(figure, new uPlot(optionsOf(figure, place, lines), data, place));
}

/** Redraw all charts: new data, another theme, another width. */
export function drawAll() {
  for (const [figure, plot] of drawn) if (!figure.isConnected) { plot.destroy(); drawn.delete(figure); }
  for (const figure of document.querySelectorAll("figure[data-chart]")) draw(figure);
}

let width = innerWidth;
window.addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawAll(); } });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
document.addEventListener("themed", drawAll);
document.addEventListener("refreshed", () => {
  for (const figure of document.querySelectorAll("figure[data-chart]")) {
    const plot = drawn.get(figure);
    if (plot) plot.setData(dataOf(figure).data); else draw(figure);
  }
});
drawAll();
