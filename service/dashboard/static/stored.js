// What this browser remembers of its viewer's wishes; nothing, where it may not.
export function stored(name) {
  try { return localStorage.getItem(`postlude-${name}`); } catch { return null; }
}

export function store(name, value) {
  try {
    if (value === null) localStorage.removeItem(`postlude-${name}`);
    else localStorage.setItem(`postlude-${name}`, value);
  } catch { /* asked again next time */ }
}
