// What every page has. Each module does one thing, and pages work without any of them.
import "./menus.js";
import "./dialogs.js";
import "./toasts.js";
import "./copy.js";
import "./time.js";
import "./moments.js";
import "./select.js";
import "./bulk.js";
import "./attempts.js";
import "./charts.js";
import "./live.js";
import "./keys.js";
