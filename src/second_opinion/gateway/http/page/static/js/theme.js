// Runs before the first paint, so that a chosen theme does not flash; without a choice the system's holds.
try {
  const theme = localStorage.getItem("opinion.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is closed to this page: the system's theme holds.
}
