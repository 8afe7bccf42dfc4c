// The viewer's choices that this browser remembers; none if it may not store anything.
export function stored(name) {
  try { return localStorage.getItem(`postlude-${name}`); } catch { return null; }
}

export function store(name, value) {
  try {
    if (value === null) localStorage.removeItem(`postlude-${name}`);
    else localStorage.setItem(`postlude-${name}`, value);
  } catch { /* asked again next time */ }
}
