// A page that nobody sees follows nothing: a browser has six connections to hostler, for all tabs together.

// Aborts when the page is hidden, or with `signal`, or by hand.
export function whileVisible(signal) {
  const control = new AbortController();
  const end = () => control.abort();
  const look = () => { if (document.hidden) end(); };
  document.addEventListener("visibilitychange", look, {signal: control.signal});
  signal.addEventListener("abort", end, {signal: control.signal});
  if (signal.aborted || document.hidden) end();
  return control;
}

export function visible() {
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    look();
  });
}
