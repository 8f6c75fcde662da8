// Curves on a canvas. A line has x and y values, and where rows were put together also the lowest and highest of each.
const shortNumber = (value) => {
  if (value === null || value === undefined || !Number.isFinite(value)) return "-";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace("e+", "e");
  if (size >= 1e4) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(4)));
};

const charts = {
  all: [], axis: "step", log: false, smooth: 0, from: null, until: null, cursor: null,
  colour(hue) {
    const light = getComputedStyle(document.documentElement).getPropertyValue("--light").trim();
    const base = parseFloat(light) || 45;
    return `hsl(${hue} 68% ${base}%)`;
  },
  theme() {
    const style = getComputedStyle(document.documentElement);
    const get = (name) => style.getPropertyValue(name).trim();
    return { text: get("--quiet"), line: get("--line"), strong: get("--text"), accent: get("--accent") };
  },
  redraw() {
    if (charts.waiting) return;
    charts.waiting = requestAnimationFrame(() => {
      charts.waiting = 0;
      for (const chart of charts.all) if (chart.seen) chart.draw();
    });
  },
  zoom(from, until) {
    charts.from = from;
    charts.until = until;
    charts.changed?.();
    charts.redraw();
  },
};

class Chart {
  // lines: [{name, hue, style, table: {step, epoch, seconds}, mean, low, high}]
  constructor(title, lines, { format = shortNumber, unit = 1, exact = false } = {}) {
    Object.assign(this, { title, lines, format, unit, exact, note: "", hidden: new Set(), seen: false });
    this.legend = element("div", { className: "legend", role: "group", ariaLabel: `Curves of ${title}` });
    this.canvas = element("canvas", { ariaHidden: "true" });
    this.plot = element("div", { className: "plot", tabIndex: 0, role: "slider", ariaLabel: `${title}: position on the curve`, ariaOrientation: "horizontal" }, this.canvas);
    this.foot = element("p", { className: "foot" });
    this.rows = element("div", { className: "scroll" });
    const table = element("details", {}, element("summary", {}, "Values as a table"), this.rows);
    table.addEventListener("toggle", () => { if (table.open) this.fill(); });
    this.table = table;
    const wide = element("button", { type: "button", ariaLabel: `Show ${title} wide`, ariaPressed: "false" }, "\u2922");
    wide.addEventListener("click", () => {
      const on = this.root.classList.toggle("wide");
      wide.setAttribute("aria-pressed", on);
    });
    const heading = element("h4", {}, title);
    this.root = element("div", { className: "panel chart" }, element("div", { className: "top" }, heading, wide), this.legend, this.plot, this.foot, table);
    this.listen();
    this.label();
    charts.all.push(this);
    new IntersectionObserver((found) => {
      this.seen = found.some((each) => each.isIntersecting);
      if (this.seen) this.draw();
    }, { rootMargin: "200px" }).observe(this.root);
    new ResizeObserver(() => { if (this.seen) this.draw(); }).observe(this.plot);
  }

  update(lines) {
    const same = lines.length === this.lines.length && lines.every((line, at) => line.name === this.lines[at].name);
    this.lines = lines;
    if (!same) this.label();
    if (this.table.open) this.fill();
  }

  label() {
    this.legend.replaceChildren(...this.lines.map((line) => {
      const value = element("b");
      const swatch = element("i", { className: "swatch", ariaHidden: "true" });
      swatch.style.borderTopStyle = ["solid", "dashed", "dotted"][line.style || 0];
      const button = element("button", { type: "button", ariaPressed: "true", title: `Show or hide ${line.name}` }, swatch, element("span", {}, line.name), value);
      button.setAttribute("aria-pressed", !this.hidden.has(line.name));
      button.addEventListener("click", () => {
        if (!this.hidden.delete(line.name)) this.hidden.add(line.name);
        button.setAttribute("aria-pressed", !this.hidden.has(line.name));
        this.draw();
      });
      return button;
    }));
    this.marks = [...this.legend.children].map((button) => ({ swatch: button.querySelector("i"), value: button.querySelector("b") }));
  }

  xs(line) {
    const found = line.table[charts.axis] || line.table.step;
    if (charts.axis !== "seconds") return found;
    return (line.table.hours ||= found.map((each) => each === null ? null : each / 3600));
  }

  extent() {
    // One for all curves, so that they can be compared; from 0 where they begin near it.
    let from = Infinity, until = -Infinity;
    for (const chart of charts.all) for (const line of chart.lines) {
      const xs = this.xs(line);
      if (!xs || !xs.length) continue;
      from = Math.min(from, xs[0]);
      until = Math.max(until, xs[xs.length - 1]);
    }
    if (!(from <= until)) return [0, 1];
    if (from === until) return [from - 0.5, until + 0.5];
    return [from > 0 && from < until / 8 ? 0 : from, until];
  }

  view() {
    const [from, until] = this.extent();
    if (charts.from === null) return [from, until];
    return [charts.from, charts.until];
  }

  smooth(line) {
    // An exponential moving average over places, corrected at its beginning, whose reach does not depend on the zoom.
    if (!charts.smooth || this.exact) return line.mean;
    if (line.kept && line.kept.by === charts.smooth && line.kept.of === line.mean) return line.kept.values;
    let sum = 0, weight = 0;
    const by = charts.smooth;
    const values = line.mean.map((each) => {
      if (each === null) return null;
      sum = sum * by + each * (1 - by);
      weight = weight * by + (1 - by);
      return sum / weight;
    });
    line.kept = { by, of: line.mean, values };
    return values;
  }

  place(xs, x) {
    // The first place whose x is not below.
    let low = 0, high = xs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (xs[middle] < x) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  nearest(line, x) {
    const xs = this.xs(line);
    if (!xs || !xs.length) return -1;
    const after = Math.min(this.place(xs, x), xs.length - 1);
    return after > 0 && x - xs[after - 1] < xs[after] - x ? after - 1 : after;
  }

  draw() {
    const box = this.plot.getBoundingClientRect();
    if (!box.width) return;
    const scale = devicePixelRatio || 1, theme = charts.theme();
    const width = box.width, height = box.height;
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const [from, until] = this.view();
    const shown = this.lines.filter((line) => !this.hidden.has(line.name));
    // The extent of what is in view.
    let low = Infinity, high = -Infinity, left = 0;
    const usable = (value) => value !== null && (!charts.log || value > 0);
    for (const line of shown) {
      const xs = this.xs(line);
      if (!xs) continue;
      const first = Math.max(this.place(xs, from) - 1, 0), last = Math.min(this.place(xs, until) + 1, xs.length);
      const raw = charts.smooth < 0.5 || this.exact;
      const smooth = this.smooth(line);
      for (const values of raw ? [line.low || line.mean, line.high || line.mean] : [smooth]) {
        for (let at = first; at < last; at += 1) {
          const value = values[at];
          if (!usable(value)) { left += value !== null; continue; }
          if (value < low) low = value;
          if (value > high) high = value;
        }
      }
    }
    const none = !(low <= high);
    if (none) [low, high] = charts.log ? [0.1, 1] : [0, 1];
    const toY = charts.log ? Math.log10 : (value) => value;
    let bottom = toY(low), top = toY(high);
    const pad = top === bottom ? (charts.log ? 0.3 : Math.abs(top) * 0.1 || 1) : (top - bottom) * 0.06;
    bottom -= pad;
    top += pad;
    if (!charts.log && low >= 0 && bottom < 0) bottom = 0;
    pen.font = "11px system-ui, 'Liberation Sans', sans-serif";
    const count = Math.max(2, Math.floor(height / 45)), unit = charts.log ? 1 : this.unit;
    const ticks = this.ticks(bottom / unit, top / unit, count, charts.log).map((each) => each * unit);
    const texts = ticks.map((each) => this.format(charts.log ? 10 ** each : each));
    const margin = { left: Math.max(30, ...texts.map((text) => pen.measureText(text).width)) + 10, right: 10, top: 8, bottom: 20 };
    const w = width - margin.left - margin.right, h = height - margin.top - margin.bottom;
    const px = (x) => margin.left + (x - from) / (until - from) * w;
    const py = (y) => margin.top + (top - toY(y)) / (top - bottom) * h;
    this.scale = { from, until, margin, w };
    pen.lineWidth = 1;
    pen.strokeStyle = theme.line;
    pen.fillStyle = theme.text;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    ticks.forEach((each, at) => {
      const y = Math.round(margin.top + (top - each) / (top - bottom) * h) + 0.5;
      pen.beginPath();
      pen.moveTo(margin.left, y);
      pen.lineTo(width - margin.right, y);
      pen.stroke();
      pen.fillText(texts[at], margin.left - 6, y);
    });
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const each of this.ticks(from, until, Math.max(2, Math.floor(w / 90)), false)) {
      const text = shortNumber(each), half = pen.measureText(text).width / 2;
      pen.fillText(text, Math.min(Math.max(px(each), half), width - half), height - margin.bottom + 6);
    }
    pen.save();
    pen.beginPath();
    pen.rect(margin.left, 0, w, height - margin.bottom + 1);
    pen.clip();
    shown.forEach((line) => this.drawLine(pen, line, from, until, px, py, usable));
    pen.restore();
    this.lines.forEach((line, at) => { this.marks[at].swatch.style.borderTopColor = charts.colour(line.hue); });
    this.drawCursor(pen, px, py, shown, height - margin.bottom, theme, usable);
    const notes = [this.note];
    const bad = this.lines.reduce((sum, line) => sum + (line.bad || 0), 0);
    if (bad) notes.push(`${bad} value${bad > 1 ? "s" : ""} not finite`);
    if (charts.log && left) notes.push("values of 0 and below are not drawn");
    if (none && this.lines.length) notes.push("nothing in view");
    this.noted = notes.filter(Boolean).join("; ");
    this.tell();
  }

  drawLine(pen, line, from, until, px, py, usable) {
    const xs = this.xs(line);
    if (!xs || !xs.length) return;
    const first = Math.max(this.place(xs, from) - 1, 0), last = Math.min(this.place(xs, until) + 1, xs.length);
    const colour = charts.colour(line.hue);
    const smooth = this.smooth(line);
    pen.lineJoin = "round";
    const path = (values, alpha, wide, dash) => {
      pen.globalAlpha = alpha;
      pen.strokeStyle = colour;
      pen.lineWidth = wide;
      pen.setLineDash(dash || []);
      pen.beginPath();
      // Of the values of one column of pixels only the first, the lowest, the highest and the last are drawn.
      let column = null, low = 0, high = 0, end = 0, broken = true;
      const close = () => {
        if (column === null) return;
        if (low !== high) { pen.lineTo(column, low); pen.lineTo(column, high); pen.lineTo(column, end); }
      };
      for (let at = first; at < last; at += 1) {
        const value = values[at];
        if (!usable(value) || xs[at] === null) { close(); column = null; broken = true; continue; }
        const x = px(xs[at]), y = py(value), rounded = last - first > 2000 ? Math.round(x) : x;
        if (column !== rounded) {
          close();
          if (broken) pen.moveTo(rounded, y);
          else pen.lineTo(rounded, y);
          broken = false;
          column = rounded;
          low = high = end = y;
        } else {
          low = Math.min(low, y);
          high = Math.max(high, y);
          end = y;
        }
      }
      close();
      pen.stroke();
      pen.setLineDash([]);
      pen.globalAlpha = 1;
    };
    if (line.low && (charts.smooth < 0.5 || this.exact)) {
      pen.globalAlpha = 0.2;
      pen.fillStyle = colour;
      pen.beginPath();
      const ends = [];
      for (let at = first; at < last; at += 1) if (usable(line.high[at]) && usable(line.low[at])) ends.push(at);
      ends.forEach((at, number) => pen[number ? "lineTo" : "moveTo"](px(xs[at]), py(line.high[at])));
      for (const at of ends.reverse()) pen.lineTo(px(xs[at]), py(line.low[at]));
      pen.fill();
      pen.globalAlpha = 1;
    }
    if (charts.smooth && !this.exact) path(line.mean, 0.28, 1);
    path(smooth, 1, 1.8, [[], [6, 3], [2, 2]][line.style || 0]);
    if (last - first < 40) {
      pen.fillStyle = colour;
      for (let at = first; at < last; at += 1) {
        if (!usable(smooth[at])) continue;
        pen.beginPath();
        pen.arc(px(xs[at]), py(smooth[at]), 2.4, 0, 7);
        pen.fill();
      }
    }
  }

  drawCursor(pen, px, py, shown, bottom, theme, usable) {
    if (this.drag) {
      pen.fillStyle = theme.accent;
      pen.globalAlpha = 0.15;
      pen.fillRect(Math.min(this.drag.from, this.drag.until), 0, Math.abs(this.drag.until - this.drag.from), bottom);
      pen.globalAlpha = 1;
    }
    const x = charts.cursor;
    const { from, until } = this.scale;
    if (x === null || x < from || x > until) return;
    pen.strokeStyle = theme.text;
    pen.setLineDash([3, 3]);
    pen.beginPath();
    pen.moveTo(px(x), 4);
    pen.lineTo(px(x), bottom);
    pen.stroke();
    pen.setLineDash([]);
    for (const line of shown) {
      const at = this.nearest(line, x);
      const value = at < 0 ? null : this.smooth(line)[at];
      if (!usable(value)) continue;
      pen.fillStyle = charts.colour(line.hue);
      pen.beginPath();
      pen.arc(px(this.xs(line)[at]), py(value), 4, 0, 7);
      pen.fill();
    }
  }

  tell() {
    const x = charts.cursor, parts = [];
    let at = null;
    this.lines.forEach((line, number) => {
      const place = x === null ? line.mean.length - 1 : this.nearest(line, x);
      const value = place < 0 ? null : this.smooth(line)[place];
      if (at === null && x !== null && place >= 0) at = line.table.step[place];
      const text = value === null ? "-" : this.format(value);
      this.marks[number].value.textContent = text;
      parts.push(`${line.name} ${text}`);
    });
    const where = at === null ? "" : `step ${at.toLocaleString("en")}`;
    this.foot.textContent = [where, this.noted].filter(Boolean).join("; ");
    const [from, until] = this.view();
    this.plot.setAttribute("aria-valuemin", from);
    this.plot.setAttribute("aria-valuemax", until);
    this.plot.setAttribute("aria-valuenow", x === null ? until : Math.min(Math.max(x, from), until));
    this.plot.setAttribute("aria-valuetext", `${where || "last"}: ${parts.join(", ")}`);
  }

  ticks(from, until, count, log) {
    const span = until - from;
    if (!(span > 0)) return [from];
    if (log && span >= 1) {
      const step = Math.max(1, Math.ceil(span / count)), found = [];
      for (let each = Math.ceil(from); each <= until; each += step) found.push(each);
      return found;
    }
    if (log) return this.ticks(10 ** from, 10 ** until, count, false).filter((each) => each > 0).map(Math.log10);
    const rough = span / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
    const found = [];
    for (let each = Math.ceil(from / step); each * step <= until + step * 1e-9; each += 1) found.push(Number((each * step).toPrecision(12)));
    return found;
  }

  at(event) {
    const { from, until, margin, w } = this.scale;
    const x = event.clientX - this.plot.getBoundingClientRect().left;
    return from + Math.min(Math.max((x - margin.left) / w, 0), 1) * (until - from);
  }

  listen() {
    const move = (x) => { charts.cursor = x; charts.redraw(); };
    this.plot.addEventListener("pointermove", (event) => {
      if (!this.scale) return;
      if (this.drag) this.drag.until = event.clientX - this.plot.getBoundingClientRect().left;
      move(this.at(event));
    });
    this.plot.addEventListener("pointerleave", () => { if (!this.drag) move(null); });
    this.plot.addEventListener("pointerdown", (event) => {
      if (event.button || event.pointerType === "touch" || !this.scale) return;
      const x = event.clientX - this.plot.getBoundingClientRect().left;
      this.drag = { from: x, until: x, value: this.at(event) };
      this.plot.setPointerCapture(event.pointerId);
    });
    this.plot.addEventListener("pointerup", (event) => {
      const drag = this.drag;
      this.drag = null;
      if (!drag) return;
      const until = this.at(event);
      if (Math.abs(drag.until - drag.from) > 6) charts.zoom(Math.min(drag.value, until), Math.max(drag.value, until));
      else charts.redraw();
    });
    this.plot.addEventListener("pointercancel", () => { this.drag = null; charts.redraw(); });
    this.plot.addEventListener("dblclick", () => charts.zoom(null, null));
    this.plot.addEventListener("blur", () => move(null));
    this.plot.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey || !this.scale) return;
      const [from, until] = this.view(), [first, last] = this.extent();
      const cursor = charts.cursor ?? until;
      const stride = (until - from) / (event.shiftKey ? 10 : 60);
      const clamp = (x) => Math.min(Math.max(x, from), until);
      const near = (x) => {
        // Along the rows of the longest line, so that each press goes on.
        const line = this.lines.reduce((best, each) => each.mean.length > best.mean.length ? each : best, this.lines[0]);
        if (!line) return x;
        const xs = this.xs(line);
        let at = this.nearest(line, x);
        if (xs[at] === cursor) at = Math.min(Math.max(at + Math.sign(x - cursor), 0), xs.length - 1);
        return xs[at];
      };
      const around = (share) => {
        const half = (until - from) * share / 2;
        const a = Math.max(first, cursor - half), b = Math.min(last, cursor + half);
        charts.zoom(...(b - a >= (last - first) * 0.999 ? [null, null] : [a, b]));
      };
      const keys = {
        ArrowLeft: () => move(clamp(near(cursor - stride))), ArrowRight: () => move(clamp(near(cursor + stride))),
        Home: () => move(from), End: () => move(until), "+": () => around(0.5), "=": () => around(0.5),
        "-": () => around(2), Escape: () => charts.zoom(null, null),
      };
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
  }

  fill() {
    const steps = new Set();
    for (const line of this.lines) {
      const xs = line.table.step, count = Math.min(24, xs.length);
      for (let each = 0; each < count; each += 1) steps.add(xs[Math.round(each * (xs.length - 1) / Math.max(count - 1, 1))]);
    }
    const chosen = [...steps].sort((a, b) => a - b);
    const head = element("tr", {}, element("th", { className: "number", scope: "col" }, "step"), ...this.lines.map((line) => element("th", { className: "number", scope: "col" }, line.name)));
    const body = chosen.map((step) => element("tr", {}, element("th", { className: "number", scope: "row" }, step.toLocaleString("en")), ...this.lines.map((line) => {
      const xs = line.table.step, at = this.place(xs, step);
      return element("td", { className: "number" }, at < xs.length && xs[at] === step ? this.format(line.mean[at]) : "");
    })));
    this.rows.replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
    this.rows.tabIndex = 0;
  }
}
