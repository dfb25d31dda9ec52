// Builds DOM nodes and brings a page up to date with as few changes as possible. Text is always text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `attributes`: `class`, `on*` handlers (functions), `style` (an object), `key`, and plain attributes. */
export function h(tag, attributes, ...children) {
  return build(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes, ...children) {
  return build(document.createElementNS(SVG, tag), attributes, children);
}

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node[name] = value;
    else if (name === "style") for (const [property, text] of Object.entries(value)) node.style.setProperty(property, text);
    else if (name === "key") node.dataset.key = String(value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/**
 * Makes `old` look like `fresh`, keeping nodes that stay, and with them focus, selection and scroll positions.
 * Children of a node with `data-own` (a chart) belong to whoever drew them and are left alone.
 */
export function morph(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  copyAttributes(old, fresh);
  for (const name of ["onclick", "onchange", "onkeydown", "onsubmit", "ontoggle"]) if (old[name] !== fresh[name]) old[name] = fresh[name];
  if (!fresh.hasAttribute("data-own")) morphChildren(old, [...fresh.childNodes]);
}

function copyAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(name === "open" && old.tagName === "DETAILS")) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) === value) continue;
    if (name === "style") old.style.cssText = fresh.style.cssText; // setAttribute is what the policy refuses
    else old.setAttribute(name, value);
  }
}

function morphChildren(parent, wanted) {
  const keyed = new Map();
  for (const child of parent.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  let at = parent.firstChild;
  for (const fresh of wanted) {
    const key = fresh.dataset?.key;
    const match = key ? keyed.get(key) : alike(at, fresh) ? at : null;
    if (!match || match.nodeName !== fresh.nodeName) {
      parent.insertBefore(fresh, at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else parent.insertBefore(match, at);
    morph(match, fresh);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function alike(old, fresh) {
  return old !== null && old.nodeName === fresh.nodeName && !old.dataset?.key;
}

/** Puts `text` on the clipboard; false when the browser does not let us. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // the clipboard API exists on https and localhost only
  }
}

function copyBySelection(text) {
  const area = h("textarea", { class: "offscreen", readonly: true, "aria-hidden": "true" });
  const focused = document.activeElement;
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return done;
}
