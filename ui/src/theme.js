// Light or dark: as the system prefers, until the user chooses.
import { signal } from "@preact/signals";

const KEY = "nearline.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");
const stored = localStorage.getItem(KEY);

export const theme = signal(stored === "light" || stored === "dark" ? stored : dark.matches ? "dark" : "light");
dark.addEventListener("change", () => {
  if (!localStorage.getItem(KEY)) theme.value = dark.matches ? "dark" : "light";
});

export function setTheme(name) {
  localStorage.setItem(KEY, name);
  theme.value = name;
}

/** Value of a colour of the style sheet, for canvases. */
export function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
