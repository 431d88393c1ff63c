// The board: columns side by side, lines between a passage's places in them, keys to walk over it.

import { Column } from "./column.js";
import { byId, still, svg } from "./dom.js";

const FOLLOW = 700; // ms for which lines follow passages that travel

export class Board {
  constructor() {
    this.node = byId("board");
    this.columns = [];
    this.lines = svg("svg", { class: "lines", "aria-hidden": "true" });
    this.until = 0;
    this.node.addEventListener("keydown", (event) => this.#walk(event));
    this.node.addEventListener("pointerover", (event) => this.#light(event.target));
    this.node.addEventListener("pointerleave", () => this.#light(null));
    this.node.addEventListener("focusin", (event) => this.#light(event.target));
    this.node.addEventListener("click", () => this.follow());
    this.node.addEventListener("toggle", () => this.follow(), true);
    new ResizeObserver(() => this.#draw()).observe(this.node);
  }

  /** Fresh columns for these runs. */
  show(first, runs, withFirst) {
    const start = withFirst || !runs.length ? [new Column(first, { first: true })] : [];
    this.columns = [...start, ...runs.map((run) => new Column(run))];
    this.node.style.setProperty("--columns", String(this.columns.length));
    this.node.replaceChildren(this.lines, ...this.columns.map((column) => column.node));
    this.#makeLines(first.passages.length);
    byId("board-scroll").hidden = false;
    this.follow();
  }

  columnOf(run) {
    return this.columns.find((column) => column.run === run);
  }

  update(run) {
    this.columnOf(run)?.update();
    this.follow();
  }

  /** Open a passage in a column and go to it. */
  goTo(column, place) {
    const card = column.cards[place];
    card.toggle(true);
    card.node.scrollIntoView({ block: "center", behavior: still() ? "auto" : "smooth" });
    card.button.focus({ preventScroll: true });
    this.follow();
  }

  // ---------------------------------------------------------------------------------------------- lines

  #makeLines(size) {
    this.paths = [];
    for (let gap = 0; gap + 1 < this.columns.length; gap++) {
      for (let place = 0; place < size; place++) this.paths.push({ gap, place, path: svg("path", { "data-place": place }) });
    }
    this.lines.replaceChildren(...this.paths.map(({ path }) => path));
  }

  /** Redraw the lines now, and on every frame while passages travel. */
  follow() {
    const running = performance.now() < this.until;
    this.until = performance.now() + (still() ? 0 : FOLLOW);
    if (running) return;
    const frame = () => {
      this.#draw();
      if (performance.now() < this.until) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  #draw() {
    if (!this.paths?.length) return;
    const origin = this.node.getBoundingClientRect();
    const boxes = this.columns.map((column) => column.cards.map((card) => card.button.getBoundingClientRect()));
    for (const { gap, place, path } of this.paths) {
      const from = boxes[gap][place];
      const to = boxes[gap + 1][place];
      path.setAttribute("d", curve(from.right - origin.left, middle(from) - origin.top, to.left - origin.left, middle(to) - origin.top));
      path.setAttribute("class", this.#kindOf(gap, place));
    }
  }

  #kindOf(gap, place) {
    const left = this.columns[gap].run.order.indexOf(place);
    const right = this.columns[gap + 1].run.order.indexOf(place);
    const dim = this.columns[gap + 1].cards[place].node.classList.contains("beyond");
    const lit = this.lit === place ? " lit" : "";
    return `${right < left ? "up" : right > left ? "down" : "same"}${dim ? " dim" : ""}${lit}`;
  }

  // ---------------------------------------------------------------------------------------------- pointer and keys

  #light(target) {
    const item = target?.closest?.(".item");
    const place = item ? Number(item.dataset.place) : null;
    if (place === this.lit) return;
    this.lit = place;
    for (const column of this.columns) column.cards.forEach((card) => card.node.classList.toggle("lit", card.place === place));
    this.#draw();
  }

  #walk(event) {
    const column = this.columns.find((one) => one.cards.some((card) => card.button === event.target));
    if (!column || event.ctrlKey || event.metaKey || event.altKey) return;
    const place = column.cards.findIndex((card) => card.button === event.target);
    const next = this.#after(column, place, event.key);
    if (!next) return;
    event.preventDefault();
    for (const card of next.column.cards) card.button.tabIndex = card === next.card ? 0 : -1;
    next.card.button.focus();
  }

  /** Up and down a column; left and right to the same passage next door. */
  #after(column, place, key) {
    const { order } = column.run;
    const rank = order.indexOf(place);
    const ranks = { ArrowUp: rank - 1, ArrowDown: rank + 1, Home: 0, End: order.length - 1 };
    if (key in ranks) return cardAt(column, order[ranks[key]]);
    const side = { ArrowLeft: -1, ArrowRight: 1 }[key];
    return side ? cardAt(this.columns[this.columns.indexOf(column) + side], place) : null;
  }
}

const cardAt = (column, place) => (column?.cards[place] ? { column, card: column.cards[place] } : null);

const middle = (box) => box.top + Math.min(box.height / 2, 32);

function curve(x1, y1, x2, y2) {
  const bend = (x2 - x1) * 0.5;
  return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
}
