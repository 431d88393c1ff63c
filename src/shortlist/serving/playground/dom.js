// Building the page. Every text goes in as a text node: nothing that a passage says is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes ("class", "aria-…", "onclick", …) and children: nodes, or texts. */
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same, in SVG. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Put `text` there if it is not there already: what has not changed is not announced again. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Tell those who listen to the page. */
export function announce(text) {
  say(byId("announce"), text);
}

export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
