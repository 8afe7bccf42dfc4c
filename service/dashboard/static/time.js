// Moments: relative, kept current as time goes by, in the viewer's zone on hover, and exact on the whole page by `t`.
// The words are the same as in text.py.
import { store, stored } from "./stored.js";

const MINUTE = 60, HOUR = 3600, DAY = 86400;
const root = document.documentElement;
// The viewer's clock may be wrong; the page's moments come from the server's.
let ahead = Date.parse(root.dataset.now) - Date.now();
let exact = stored("exact") === "yes";

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const parts = new Intl.DateTimeFormat("en-GB", {
  weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  fractionalSecondDigits: 3, hourCycle: "h23", timeZoneName: "short",
});
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const minute = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

export const now = () => Date.now() + ahead;
export const clockText = (moment) => clock.format(moment);
export const minuteText = (moment) => minute.format(moment);

/** Take the server's time from a later page. */
export function agree(moment) { ahead = Date.parse(moment) - Date.now(); }

export function exactText(moment) {
  const part = Object.fromEntries(parts.formatToParts(moment).map(({ type, value }) => [type, value]));
  return `${part.weekday} ${part.day} ${part.month} ${part.year}, ${part.hour}:${part.minute}:${part.second}.${part.fractionalSecond} ${part.timeZoneName}`;
}

const some = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

export function roughText(seconds) {
  if (seconds < MINUTE) return `${Math.floor(seconds)} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h`;
  return some(Math.floor(seconds / DAY), "day");
}

export function spanText(seconds) {
  if (Math.round(seconds) < MINUTE) {
    if (seconds > 0 && seconds < 0.1) return `${Math.max(Math.round(seconds * 1000), 1)} ms`;
    return Math.round(seconds * 10) < 100 ? `${seconds.toFixed(1).replace(/\.0$/, "")} s` : `${Math.round(seconds)} s`;
  }
  for (const [size, unit, smaller, smallerUnit] of [[DAY, "day", HOUR, "h"], [HOUR, "h", MINUTE, "min"], [MINUTE, "min", 1, "s"]]) {
    const count = Math.round(seconds / smaller), whole = Math.floor(count / (size / smaller)), rest = count % (size / smaller);
    if (whole) return (unit === "day" ? some(whole, "day") : `${whole} ${unit}`) + (rest ? ` ${rest} ${smallerUnit}` : "");
  }
}

function words(shown, moment) {
  const seconds = (now() - moment) / 1000;
  if (shown === "ago") return seconds < 1 ? "just now" : `${roughText(seconds)} ago`;
  if (shown === "until") return seconds > -1 ? "now" : `in ${-seconds < 10 * MINUTE ? spanText(Math.floor(-seconds)) : roughText(-seconds)}`;
  if (shown === "age") return seconds < MINUTE ? spanText(Math.max(seconds, 0)) : roughText(seconds);
  if (shown === "minute") return minuteText(moment);
  return clockText(moment);
}

/** Update the words of all moments on the page. */
export function refresh() {
  for (const element of document.querySelectorAll("time[data-shown]")) {
    const moment = Date.parse(element.dateTime);
    const full = exactText(moment);
    const text = exact ? full : words(element.dataset.shown, moment);
    if (element.textContent !== text) element.textContent = text;
    if (element.title !== full) element.title = full;
  }
}

export function toggleExact() {
  exact = !exact;
  store("exact", exact ? "yes" : null);
  refresh();
}

const told = document.getElementById("zone");
if (told) told.textContent = `Times in ${zone}`;
refresh();
setInterval(() => { if (!document.hidden) refresh(); }, 1000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
document.addEventListener("htmx:afterSettle", refresh);
