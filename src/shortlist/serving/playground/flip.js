// Bring a list into a new order, and let each item travel from where it was (first, last, invert, play).

import { still } from "./dom.js";

const SECONDS = 0.55;

/** Put `items` into `list` in this order; true if anything travels. */
export function reorder(list, items) {
  if (items.every((item, i) => list.children[i] === item) && list.children.length === items.length) return false;
  const animated = !still() && document.visibilityState === "visible";
  const before = new Map(items.map((item) => [item, item.isConnected ? item.getBoundingClientRect().top : null]));
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  list.replaceChildren(...items);
  focused?.focus({ preventScroll: true });
  if (!animated) return true;
  const travel = items.map((item) => [item, before.get(item) === null ? 0 : before.get(item) - item.getBoundingClientRect().top]);
  for (const [item, distance] of travel) {
    if (Math.abs(distance) < 1) continue;
    item.getAnimations().forEach((animation) => animation.cancel());
    item.animate([{ transform: `translateY(${distance}px)`, zIndex: 1 }, { transform: "none", zIndex: 1 }], {
      duration: SECONDS * 1000,
      easing: "cubic-bezier(.3,.1,.2,1)",
    });
  }
  return true;
}
