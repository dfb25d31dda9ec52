// Colours: one per schedule family of a study, told apart also with colour-blind eyes and, past eight, by dashes.
// The nearest two stay 10 or more apart (CIE Lab) for protanopia, deuteranopia and tritanopia; all have a contrast of
// 3:1 or more against the page.

const LIGHT = ["#0a5fa5", "#dd7a00", "#00917a", "#c94f9b", "#7a1f2b", "#8f5cf5", "#5c5f00", "#232b34"];
const DARK = ["#4d9fe8", "#f59e3d", "#2dd4a7", "#f08cc8", "#c2573f", "#8b6cff", "#d6de5a", "#c9d6e6"];
const DASHES = ["solid", "dash", "dot", "dashdot"];
const STROKES = { solid: null, dash: "7 4", dot: "2 3", dashdot: "8 3 2 3" };

const dark = matchMedia("(prefers-color-scheme: dark)");

export function onThemeChange(redraw) {
  dark.addEventListener("change", redraw);
}

/** A colour and a dash for each family, in the order in which the study names them. */
export function families(names) {
  const colours = dark.matches ? DARK : LIGHT;
  const styles = new Map();
  for (const name of names) {
    if (styles.has(name)) continue;
    const index = styles.size;
    const dash = DASHES[Math.floor(index / colours.length) % DASHES.length];
    styles.set(name, { colour: colours[index % colours.length], dash, stroke: STROKES[dash] });
  }
  return (name) => styles.get(name) ?? { colour: token("--quiet"), dash: "solid", stroke: null };
}

/** The families of a study: those of its space, in order, then any that only its trials name. */
export function familyNames(definition, ...lists) {
  const named = definition.space.schedules.map((one) => (typeof one === "string" ? one : one.family));
  const met = lists.flat().map((one) => one.family).sort();
  return [...named, ...met];
}

/** The value of a custom property of the style sheet, as the theme has it now. */
export function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
