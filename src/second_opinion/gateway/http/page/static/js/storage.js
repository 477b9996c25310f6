// What this browser remembers. Storage may be closed or full; then nothing is remembered and all else works.

function opened(kind) {
  try {
    return window[kind];
  } catch {
    return null;
  }
}

function read(kind, name) {
  try {
    return opened(kind)?.getItem(`opinion.${name}`) ?? null;
  } catch {
    return null;
  }
}

function write(kind, name, value) {
  try {
    if (value === null) opened(kind)?.removeItem(`opinion.${name}`);
    else opened(kind)?.setItem(`opinion.${name}`, value);
  } catch {
    // Not remembered.
  }
}

export const remembered = (name) => read("localStorage", name);
export const remember = (name, value) => write("localStorage", name, value);

// A key lives as long as its browser tab, and is sent as a header only.
export const sessionKey = () => read("sessionStorage", "key");
export const keepSessionKey = (key) => write("sessionStorage", "key", key || null);
