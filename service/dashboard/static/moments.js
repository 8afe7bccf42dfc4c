// Fields for moments: a browser shows them in the viewer's zone, and the form says which one that is.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const digits = (number) => String(number).padStart(2, "0");

function local(moment) {
  return `${moment.getFullYear()}-${digits(moment.getMonth() + 1)}-${digits(moment.getDate())}T${digits(moment.getHours())}:${digits(moment.getMinutes())}:${digits(moment.getSeconds())}`;
}

/** Convert fields that came in UTC; fields of a form that was sent already have the viewer's zone. */
function take() {
  for (const form of document.querySelectorAll("form:has([data-zone-name])")) {
    const name = form.querySelector("[data-zone-name]");
    if (!name.value) {
      for (const field of form.querySelectorAll("[data-moment]")) {
        if (field.value) field.value = local(new Date(`${field.value}Z`));
      }
      name.value = zone;
    }
    for (const words of form.querySelectorAll("[data-zone]")) words.textContent = name.value;
  }
}

take();
document.addEventListener("htmx:afterSettle", take);
