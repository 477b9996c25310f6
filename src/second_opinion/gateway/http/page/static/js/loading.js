// What a part of the page loads for itself, with its problem and a way to load it again.
import { useEffect, useRef, useState } from "./vendor.js";

const REFRESH_SECONDS = 5;

// `load` is called with a signal whenever one of `inputs` changes; an answer that comes too late is dropped.
export function useLoaded(load, inputs) {
  const [state, setState] = useState({ value: null, problem: null, loading: true });
  const newest = useRef(null);
  const reload = (keep = true) => {
    newest.current?.abort();
    const mine = (newest.current = new AbortController());
    setState((before) => ({ value: keep ? before.value : null, problem: null, loading: true }));
    load(mine.signal).then(
      (value) => !mine.signal.aborted && setState({ value, problem: null, loading: false }),
      (problem) => !mine.signal.aborted && setState((before) => ({ value: before.value, problem, loading: false })),
    );
  };
  useEffect(() => {
    reload(false);
    return () => newest.current.abort();
  }, inputs);
  return { ...state, reload };
}

// Loads again every few seconds while somebody looks.
export function useRefresh(reload, seconds = REFRESH_SECONDS) {
  const newest = useRef(reload);
  newest.current = reload;
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === "visible" && newest.current(), seconds * 1_000);
    return () => clearInterval(timer);
  }, []);
}
