(() => {
  let content = JSON.parse(byId("content").textContent);
  const HUES = [214, 18, 152, 276, 42, 330, 186, 96];
  const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];
  const size = (bytes) => {
    let at = 0, value = bytes;
    while (value >= 1024 && at < 4) { value /= 1024; at += 1; }
    return `${value >= 100 || at === 0 ? Math.round(value) : value.toFixed(1)} ${SIZES[at]}`;
  };
  const span = (seconds) => {
    const whole = Math.round(seconds);
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    return `${Math.floor(whole / 3600)} h ${Math.floor(whole / 60) % 60} min`;
  };
  const when = (seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const say = (text) => { byId("said").textContent = text; };
  const several = () => content.runs.length > 1;
  const hue = (number) => HUES[number % HUES.length];
  const keyOf = (number) => {
    const key = element("i", { className: "key", ariaHidden: "true" });
    key.style.background = charts.colour(hue(number));
    key.dataset.hue = hue(number);
    return key;
  };
  const pill = (state) => element("span", { className: `pill ${state}` }, state);
  const tableOf = (head, rows, numbers = () => false) => element("table", {},
    ...(head.length ? [element("thead", {}, element("tr", {}, ...head.map((each, at) => element("th", { scope: "col", className: numbers(at) ? "number" : "" }, each))))] : []),
    element("tbody", {}, ...rows.map((row) => element("tr", { className: row.className || "" }, ...row.cells.map((cell, at) => at
      ? element("td", { className: numbers(at) ? "number" : "" }, cell ?? "") : element("th", { scope: "row" }, cell ?? ""))))));
  const rowsOf = (pairs) => pairs.map((cells) => ({ cells }));

  // --- what is drawn ---------------------------------------------------------------------------------------------

  const curvesOf = (run) => run.tables.flatMap((table) => table.curves.map((curve) => ({ table, curve })));
  const valueOf = (run, name, kind = "last") => {
    const found = curvesOf(run).find((each) => each.curve.name === name);
    return found ? found.curve[kind] : null;
  };

  const LOSSES = "Losses and what else the players log", RUNNING = "Learning rates, speed, memory";
  const GROUPS = ["Validation", LOSSES, RUNNING, "Other scalars"];
  const isRate = (name) => name.startsWith("learning_rate/");

  const groupOf = (name) => {
    if (name === "images_per_second" || name === "memory" || name.startsWith("learning_rate/")) return RUNNING;
    if (name.startsWith("validation/")) return "Validation";
    return name.includes("/") ? LOSSES : "Other scalars";
  };

  const players = () => {
    const named = new Set();
    for (const run of content.runs) for (const { curve } of curvesOf(run)) {
      const group = groupOf(curve.name), parts = curve.name.split("/");
      if (isRate(curve.name)) named.add(parts.slice(1).join("/"));
      else if (group === LOSSES) named.add(parts[0]);
    }
    return [...named].sort();
  };

  const lineOf = (name, hue, { table, curve }) => ({
    name, hue, table, mean: curve.mean, low: curve.low, high: curve.high, bad: curve.not_finite || 0, error: curve.error || false,
  });

  const wanted = () => {
    // The charts: by group and title, with their lines. One chart a term, one colour a player; of several runs one chart
    // a scalar, one colour a run.
    const named = players(), found = new Map();
    content.runs.forEach((run, number) => curvesOf(run).forEach((each) => {
      const { name } = each.curve, group = groupOf(name), parts = name.split("/");
      const player = isRate(name) ? parts.slice(1).join("/") : parts[0];
      const term = parts.slice(1).join("/") || name;
      let title = { images_per_second: "Images per second", memory: "Memory in use" }[name] || term;
      if (several()) title = isRate(name) ? `Learning rate of ${player}` : group === LOSSES ? `${player}: ${term}` : title;
      else if (isRate(name)) title = "Learning rates";
      const key = `${group}\n${title}`;
      if (!found.has(key)) found.set(key, { group, title, scalar: name, lines: [], each: 1, rows: 0 });
      const chart = found.get(key);
      const coloured = isRate(name) || group === LOSSES;
      const line = several() ? lineOf(run.name, hue(number), each)
        : lineOf(coloured ? player : title, coloured ? hue(Math.max(named.indexOf(player), 0)) : HUES[0], each);
      // Lines that lie on one another, as learning rates do, are told apart by their dashes.
      line.style = several() ? Math.floor(number / HUES.length) % 3 : isRate(name) ? chart.lines.length % 3 : 0;
      chart.lines.push(line);
      chart.each = Math.max(chart.each, each.table.each);
      chart.rows = Math.max(chart.rows, each.table.rows);
    }));
    // Terms that more players have come first: they are what one compares.
    const list = [...found.values()];
    list.sort((a, b) => GROUPS.indexOf(a.group) - GROUPS.indexOf(b.group) || (several() ? 0 : b.lines.length - a.lines.length));
    return list;
  };

  let made = new Map();
  const drawCharts = () => {
    const list = wanted();
    const keys = list.map((each) => `${each.group}\n${each.title}`);
    byId("curves-none").hidden = list.length > 0;
    byId("tools").hidden = list.length === 0;
    if (keys.join("\n\n") !== [...made.keys()].join("\n\n")) {
      made = new Map();
      charts.all = [];
      const parts = [];
      for (const group of GROUPS) {
        const own = list.filter((each) => each.group === group);
        if (!own.length) continue;
        const holder = element("div", { className: "charts" });
        for (const each of own) {
          const own = each.scalar === "memory" ? { format: size, unit: 2 ** 20, exact: true } : { exact: isRate(each.scalar) };
          const chart = new Chart(each.title, each.lines, own);
          made.set(`${each.group}\n${each.title}`, chart);
          holder.append(chart.root);
        }
        parts.push(element("h3", { className: "group" }, group), holder);
      }
      byId("charts").replaceChildren(...parts);
    } else {
      list.forEach((each, at) => made.get(keys[at]).update(each.lines));
    }
    for (const each of list) {
      const notes = [];
      if (each.lines.some((line) => line.error)) notes.push("band: standard error");
      if (each.each > 1) notes.push(`drawn from ${each.rows.toLocaleString("en")} rows: lowest, mean and highest of each ${each.each}`);
      if (each.group === "Validation") {
        const most = 4;
        for (const line of each.lines.slice(0, most)) {
          const curve = line.table.curves.find((one) => one.mean === line.mean);
          if (curve && curve.high_at !== undefined && curve.lowest !== curve.highest) notes.push(`${several() ? line.name + ": " : ""}lowest ${shortNumber(curve.lowest)} at step ${curve.low_at.toLocaleString("en")}, highest ${shortNumber(curve.highest)} at ${curve.high_at.toLocaleString("en")}`);
        }
        if (each.lines.length > most) notes.push(`the same of ${each.lines.length - most} more runs is left out here`);
      }
      made.get(`${each.group}\n${each.title}`).note = notes.join("; ");
    }
    charts.redraw();
  };

  // --- samples ---------------------------------------------------------------------------------------------------

  const time = byId("time");
  const steps = () => [...new Set(content.runs.flatMap((run) => run.grids.list.map((each) => each.step)))].sort((a, b) => a - b);
  let listed = [], pictures = new Map(), playing = 0;

  const gridAt = (run, step) => {
    // The last grid of a run that is not later.
    const { list } = run.grids;
    let found = list[0];
    for (const each of list) if (each.step <= step) found = each;
    return found;
  };

  const picture = (source) => {
    if (!pictures.has(source)) {
      if (pictures.size > 40) pictures.delete(pictures.keys().next().value);
      const image = new Image();
      image.decoding = "async";
      image.src = source;
      pictures.set(source, image);
    }
    return pictures.get(source);
  };

  const whenLoaded = (image, then) => {
    if (image.complete && image.naturalWidth) then();
    else image.addEventListener("load", then, { once: true });
  };

  const drawGrids = () => {
    listed = steps();
    const none = listed.length === 0;
    byId("samples-none").hidden = !none;
    byId("samples-none").textContent = content.runs.some((run) => run.state === "running") ? "There are no sample grids yet." : "There are no sample grids.";
    byId("samples-body").hidden = none;
    if (none) return;
    const atEnd = Number(time.value) >= Number(time.max);
    time.max = listed.length - 1;
    if (atEnd) time.value = listed.length - 1;
    byId("play").disabled = listed.length < 2;
    const figures = content.runs.map((run, number) => {
      const image = element("img", { alt: "", decoding: "async" });
      image.addEventListener("error", () => { image.hidden = true; image.nextSibling.hidden = false; });
      image.addEventListener("load", () => {
        image.hidden = false;
        image.nextSibling.hidden = true;
        // Small pictures are enlarged by whole pixels.
        const whole = byId("samples-body").clientWidth;
        const room = several() ? image.parentElement.clientWidth : whole > 800 ? whole * 0.6 : whole;
        const times = Math.max(1, Math.min(Math.floor(room / image.naturalWidth), Math.floor(560 / image.naturalHeight)));
        const wide = times > 1 ? image.naturalWidth * times : Math.min(image.naturalWidth * 2, room);
        image.width = image.naturalHeight > 560 ? Math.min(image.naturalWidth, room) : wide;
        image.classList.toggle("small", times > 1);
      });
      return element("figure", {}, element("figcaption", {}), image, element("p", { className: "notice missing", hidden: true }, "This grid is not in the report, and not beside it."));
    });
    byId("grids").replaceChildren(...figures);
    byId("looking").classList.toggle("one", !several());
    const linked = content.runs.reduce((sum, run) => sum + run.grids.list.length - run.grids.held, 0);
    const held = content.runs.reduce((sum, run) => sum + run.grids.held, 0);
    byId("grids-note").textContent = linked && !content.live ? `${held} of ${held + linked} grids are in this file; the others are read from the run's folder, if it is there.` : "";
    prepare();
    show();
  };

  const show = () => {
    if (!listed.length) return;
    const step = listed[Number(time.value)];
    byId("time-out").textContent = step.toLocaleString("en");
    time.setAttribute("aria-valuetext", `step ${step}`);
    content.runs.forEach((run, number) => {
      const figure = byId("grids").children[number];
      if (!figure) return;
      const grid = gridAt(run, step), [caption, image, missing] = figure.children;
      const name = several() ? run.name : "";
      const { layout } = run.grids;
      // Titles of small cells are cut off.
      const narrow = grid && layout && layout.columns.some((each) => each.length * 6 > layout.cell_width) ? `: ${layout.columns.join(", ")}` : "";
      caption.replaceChildren(...(several() ? [keyOf(number)] : []), [name, grid ? `step ${grid.step.toLocaleString("en")}` : "no grids"].filter(Boolean).join(", "), narrow);
      if (!grid || !grid.src) { image.hidden = true; missing.hidden = false; return; }
      if (image.getAttribute("src") !== grid.src) image.src = grid.src;
      const columns = run.grids.layout ? `: columns ${run.grids.layout.columns.join(", ")}; ${run.grids.layout.rows} rows` : "";
      image.alt = `Samples${name ? " of " + name : ""} at step ${grid.step}${columns}`;
    });
    compare();
  };

  const fillSelect = (select, names, chosen) => {
    const before = select.value;
    select.replaceChildren(...names.map((name, at) => element("option", { value: at }, name)));
    select.value = before !== "" && Number(before) < names.length ? before : chosen;
  };

  const shownRun = () => content.runs[Number(byId("which").value) || 0];

  const prepare = () => {
    fillSelect(byId("which"), content.runs.map((run) => run.name), 0);
    byId("which-label").hidden = !several();
    const { layout } = shownRun().grids;
    byId("pairing").hidden = !layout;
    if (!layout) return;
    const first = layout.columns.findIndex((name) => name === "source");
    const fake = layout.columns.findIndex((name) => name.startsWith("fake"));
    fillSelect(byId("left"), [...layout.columns, "the same, at the first step"], Math.max(first, 0));
    fillSelect(byId("right"), layout.columns, fake < 0 ? layout.columns.length - 1 : fake);
    fillSelect(byId("row"), Array.from({ length: layout.rows }, (_, at) => String(at + 1)), 0);
  };

  const crop = (canvas, source, layout, column, row) => {
    const image = picture(source), wanted = `${source.length} ${source.slice(-40)} ${column} ${row}`;
    canvas.dataset.wanted = wanted;
    whenLoaded(image, () => {
      if (canvas.dataset.wanted !== wanted) return;
      const scale = image.naturalWidth / layout.width;
      const width = layout.cell_width * scale, height = layout.cell_height * scale;
      const times = Math.max(1, Math.floor(480 / width));
      canvas.width = Math.round(width * times);
      canvas.height = Math.round(height * times);
      const pen = canvas.getContext("2d");
      pen.imageSmoothingEnabled = false;
      pen.drawImage(image, column * (layout.cell_width + layout.gap) * scale, (layout.top + row * (layout.cell_height + layout.gap)) * scale, width, height, 0, 0, canvas.width, canvas.height);
    });
  };

  const compare = () => {
    const run = shownRun(), { layout, list } = run.grids;
    if (!layout || !list.length) return;
    const step = listed[Number(time.value)], grid = gridAt(run, step);
    const right = Number(byId("right").value) || 0, row = Number(byId("row").value) || 0;
    const early = Number(byId("left").value) >= layout.columns.length;
    const left = early ? right : Number(byId("left").value) || 0, from = early ? list[0] : grid;
    if (from.src) crop(byId("before"), from.src, layout, left, row);
    if (grid.src) crop(byId("after"), grid.src, layout, right, row);
    byId("tag-left").textContent = early ? `${layout.columns[left]}, step ${from.step.toLocaleString("en")}` : layout.columns[left];
    byId("tag-right").textContent = `${layout.columns[right]}, step ${grid.step.toLocaleString("en")}`;
    byId("before").setAttribute("aria-label", `${byId("tag-left").textContent}, row ${row + 1}`);
    byId("after").setAttribute("aria-label", `${byId("tag-right").textContent}, row ${row + 1}`);
    slide();
  };

  const slide = () => divide(byId("tag-left").textContent, byId("tag-right").textContent);

  const stop = () => {
    clearInterval(playing);
    playing = 0;
    byId("play").textContent = "Play";
    byId("play").setAttribute("aria-pressed", "false");
  };
  byId("play").addEventListener("click", () => {
    if (playing) { stop(); return; }
    if (Number(time.value) >= Number(time.max)) time.value = 0;
    byId("play").textContent = "Pause";
    byId("play").setAttribute("aria-pressed", "true");
    show();
    playing = setInterval(() => {
      time.value = Number(time.value) + 1;
      show();
      if (Number(time.value) >= Number(time.max)) stop();
    }, Math.max(120, Math.min(600, 12000 / listed.length)));
  });
  time.addEventListener("input", () => { stop(); show(); });
  byId("slider").addEventListener("input", slide);
  for (const id of ["left", "right", "row"]) byId(id).addEventListener("change", compare);
  byId("which").addEventListener("change", () => { prepare(); compare(); });

  // --- texts -----------------------------------------------------------------------------------------------------

  const drawHead = () => {
    const [first] = content.runs;
    byId("title").textContent = several() ? `${content.runs.length} runs side by side` : first.name;
    byId("subtitle").textContent = several() ? [...new Set(content.runs.map((run) => `${run.method} on ${run.data}`))].join("; ") : `${first.method} on ${first.data}`;
    byId("subtitle").title = byId("subtitle").textContent;
    byId("state").replaceChildren(...(several() ? [] : [pill(first.state)]));
    byId("footer").textContent = `${content.live ? "Live" : "Written"}${content.live ? ", last change seen " : " "}${when(Math.max(...content.runs.map((run) => run.written)))}${!content.live && content.runs.some((run) => run.state === "running") ? ", while a training went on" : ""}.`;
  };

  const chosen = (best) => best.file ? `kept, chosen on ${best.split}` : `${best.better} taken for better`;
  // A score that is not finite comes as text.
  const scoreText = (value) => typeof value === "string" ? value : shortNumber(value);
  const secondsOf = (run) => Math.max(0, ...run.tables.map((table) => (table.seconds || []).at(-1) ?? 0));
  const epochOf = (run) => Math.max(0, ...run.tables.map((table) => (table.epoch || []).at(-1) ?? 0));

  const drawSummary = () => {
    const holder = byId("summary");
    if (several()) {
      const head = ["run", "state", "step", "trained for", "images per second", "best score", "grids"];
      holder.replaceChildren(element("div", { className: "panel scroll", tabIndex: 0, role: "region", ariaLabel: "Runs" }, tableOf(head, content.runs.map((run, number) => ({
        cells: [element("span", { title: run.folder }, keyOf(number), run.name), pill(run.state), `${run.step.toLocaleString("en")} of ${run.steps.toLocaleString("en")}`, span(secondsOf(run)), shortNumber(valueOf(run, "images_per_second")), run.best ? `${run.best.score} ${scoreText(run.best.value)} at ${run.best.step.toLocaleString("en")} (${chosen(run.best)})` : "", String(run.grids.list.length)],
      })))));
      return;
    }
    const [run] = content.runs, seconds = secondsOf(run);
    const tile = (name, value, more, ...further) => element("div", { className: "tile" }, element("dt", {}, name), element("dd", {}, value, ...(more ? [element("small", {}, more)] : []), ...further));
    const share = run.steps ? Math.min(run.step / run.steps, 1) : 0;
    const bar = element("progress", { max: 1, value: share, ariaLabel: "Progress" });
    const tiles = [tile("Step", run.step.toLocaleString("en"), `of ${run.steps.toLocaleString("en")}, ${Math.floor(share * 100)} %`, bar)];
    if (seconds) tiles.push(tile("Trained for", span(seconds), epochOf(run) ? `${shortNumber(epochOf(run))} epochs` : ""));
    if (run.state === "running" && seconds && run.step) tiles.push(tile("To go", span(seconds / run.step * (run.steps - run.step)), "at the mean speed so far"));
    const speed = valueOf(run, "images_per_second");
    if (speed !== null) tiles.push(tile("Speed", shortNumber(speed), "images per second, last"));
    const memory = valueOf(run, "memory", "highest");
    if (memory !== null && memory !== undefined) tiles.push(tile("Memory", size(memory), "highest in use"));
    if (run.best) tiles.push(tile(`Best ${run.best.score}`, scoreText(run.best.value), `at step ${run.best.step.toLocaleString("en")}; ${chosen(run.best)}`));
    const warnings = run.notes.filter((note) => note.kind === "warning" || note.kind === "guard").length;
    tiles.push(tile("Warnings", String(warnings), warnings ? "see below" : "none told"));
    holder.replaceChildren(element("dl", { className: "tiles" }, ...tiles));
    if (run.about) holder.append(element("p", { className: "quiet" }, run.about));
  };

  const drawDiffer = () => {
    byId("differ").hidden = !several();
    if (!several()) return;
    byId("differ-table").className = "panel scroll";
    byId("differ-table").replaceChildren(content.differ.length
      ? tableOf(["option", ...content.runs.map((run, number) => element("span", {}, keyOf(number), run.name))], content.differ.map(([name, values]) => ({ cells: [name, ...values.map((value) => value === null ? "not given" : value)] })))
      : "These runs have the same options.");
  };

  const drawNotes = () => {
    const all = content.runs.flatMap((run) => run.notes.map((note) => ({ ...note, run: run.name })));
    const guarded = content.runs.filter((run) => run.guard);
    byId("notes").hidden = all.length === 0 && guarded.length === 0;
    const item = (note) => {
      const facts = [several() ? note.run : "", note.step === undefined ? "" : `step ${note.step.toLocaleString("en")}`, note.time ? when(note.time) : ""];
      const said = element("span", { className: "said" }, note.text, " ", element("span", { className: "quiet" }, facts.filter(Boolean).join(", ")));
      if (note.advice) said.append(element("span", { className: "advice" }, element("b", {}, "What to do: "), note.advice));
      return element("li", { className: note.kind }, element("span", { className: "what" }, note.kind), said);
    };
    const first = all.slice(0, 12), rest = all.slice(12);
    byId("notes-list").replaceChildren(...(all.length ? [element("ul", { className: "notes" }, ...first.map(item))] : []));
    if (rest.length) byId("notes-list").append(element("details", {}, element("summary", {}, `${rest.length} more`), element("ul", { className: "notes" }, ...rest.map(item))));
    for (const run of guarded) {
      const { looks, step, warnings, seen } = run.guard;
      const told = `${several() ? run.name + ": the" : "The"} guard has looked ${looks.toLocaleString("en")} times, up to step ${step.toLocaleString("en")}, and ${warnings ? `warned ${warnings} time${warnings > 1 ? "s" : ""}` : "had nothing to warn of"}.`;
      const rows = seen.map(([what, subject, value, at, sign]) => ({ className: sign ? "sign" : "", cells: [what, subject, value, at.toLocaleString("en"), sign ? "beyond its threshold" : ""] }));
      byId("notes-list").append(element("details", {}, element("summary", {}, told), element("div", { className: "panel scroll", tabIndex: 0, role: "region", ariaLabel: `What the guard saw last${several() ? " of " + run.name : ""}` }, tableOf(["looked for", "of", "seen last", "at step", ""], rows, (at) => at === 2 || at === 3))));
    }
  };

  const drawData = () => {
    const parts = content.runs.map((run, number) => {
      const panel = element("div", { className: "panel" });
      if (several()) panel.append(element("h3", {}, keyOf(number), run.name));
      const { layout, list } = run.grids;
      if (layout && list.length && list[0].src) {
        for (const name of ["source", "target"]) {
          const column = layout.columns.indexOf(name);
          if (column < 0) continue;
          const shots = element("div", { className: "shots" });
          for (let row = 0; row < Math.min(layout.rows, 4); row += 1) {
            const canvas = element("canvas", { role: "img", ariaLabel: `${name}, image ${row + 1} of those that the grids show` });
            crop(canvas, list[list.length - 1].src, layout, column, row);
            shots.append(canvas);
          }
          panel.append(element("h3", {}, name), shots);
        }
      }
      panel.append(tableOf([], rowsOf([["data", run.data], ...run.domains])));
      return panel;
    });
    byId("data-body").className = "columns";
    byId("data-body").replaceChildren(...parts);
  };

  const drawDetails = () => {
    byId("details-body").replaceChildren(...content.runs.map((run, number) => {
      const own = run.options.slice(0, run.own), core = run.options.slice(run.own);
      const asked = core.filter((each) => !each[2]), same = core.filter((each) => each[2]);
      const panel = (title, ...children) => element("div", { className: "panel" }, element("h3", {}, title), ...children);
      const columns = element("div", { className: "masonry" },
        panel(`Options of ${run.method}`, own.length ? tableOf([], rowsOf(own.map((each) => each.slice(0, 2)))) : "All have their defaults."),
        panel("Options of the training", asked.length ? tableOf([], rowsOf(asked.map((each) => each.slice(0, 2)))) : "All have their defaults.",
          element("details", {}, element("summary", {}, `${same.length} with their defaults`), tableOf([], same.map((each) => ({ cells: each.slice(0, 2), className: "default" }))))),
        panel("Machine and versions", tableOf([], rowsOf(run.environment))),
        panel("Files", run.files.length ? tableOf([], rowsOf(run.files.map(([name, bytes]) => [name, size(bytes)])), (at) => at === 1) : "No checkpoint yet.", element("p", { className: "quiet" }, run.folder)));
      if (!several()) return columns;
      return element("details", { className: "panel" }, element("summary", {}, keyOf(number), run.name), columns);
    }));
  };

  const drawCommands = () => {
    const panels = content.runs.map((run, number) => element("div", { className: "panel" }, ...(several() ? [element("h3", {}, keyOf(number), run.name)] : []), ...run.commands.map(([what, text]) => {
      const copy = element("button", { type: "button", ariaLabel: `Copy: ${text}` }, "Copy");
      copy.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(text);
          copy.textContent = "Copied";
        } catch {
          // Where the browser gives no clipboard the text is selected.
          getSelection().selectAllChildren(code);
          copy.textContent = "Selected";
        }
        say(`${copy.textContent}: ${text}`);
        setTimeout(() => { copy.textContent = "Copy"; }, 1500);
      });
      const code = element("code", {}, text);
      return element("div", { className: "command" }, element("span", {}, what), code, copy);
    })));
    byId("commands-body").replaceChildren(...panels);
  };

  const shots = (entry, row, name) => {
    // The images of one row of an evaluation's picture, small; none where the picture has no such row.
    const { pictures } = entry;
    if (!pictures || row === null || row === undefined) return "";
    const layout = { width: pictures.columns.length * (pictures.width + pictures.gap), cell_width: pictures.width, cell_height: pictures.height, gap: pictures.gap, top: 0 };
    return element("span", { className: "shots" }, ...pictures.columns.map((kind, column) => {
      const canvas = element("canvas", { role: "img", ariaLabel: `${name}: ${kind}`, title: kind });
      crop(canvas, pictures.src, layout, column, row);
      return canvas;
    }));
  };

  const drawScores = () => {
    const { list, apart, left_out: left } = content.evaluations;
    byId("scores").hidden = list.length === 0 && left.length === 0;
    const parts = [], scored = list.filter((each) => each.scores);
    const named = (each) => element("span", {}, ...(several() ? [keyOf(each.run), content.runs[each.run].name, ": "] : []), each.name);
    if (left.length) parts.push(element("p", { className: "notice" }, `Not shown: ${left.join("; ")}.`));
    if (scored.length) {
      const names = [...new Set(scored.flatMap((each) => each.scores.map(([name]) => name)))];
      const cells = (each) => names.map((name) => {
        const found = each.scores.find(([one]) => one === name);
        return found ? `${found[1]}${found[2] ? ` \u00b1 ${found[2]}` : ""}` : "";
      });
      const how = scored.map((each) => element("details", {}, element("summary", {}, named(each), ": how it was measured"), ...each.warnings.map((text) => element("p", { className: "quiet" }, `Warning: ${text}`)), tableOf([], rowsOf(each.protocol))));
      parts.push(element("div", { className: "panel" }, element("div", { className: "scroll scored-runs", tabIndex: 0, role: "region", ariaLabel: "Scores" }, tableOf(["evaluation", ...names], scored.map((each) => ({ cells: [named(each), ...cells(each)] })))), ...how));
    }
    for (const each of apart) {
      const rows = each.images.map(([image, values, places]) => ({ cells: [image, ...values.map((value, at) => element("span", { className: "scored" }, value, shots(list[each.entries[at]], places[at], image)))] }));
      const head = ["image", ...each.runs.map((number) => element("span", {}, keyOf(number), content.runs[number].name))];
      parts.push(element("div", { className: "panel" }, element("h3", {}, `${each.score}: where the runs differ most, of ${each.count.toLocaleString("en")} images`), element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: `${each.score}: where the runs differ most` }, tableOf(head, rows))));
    }
    const newest = new Set();
    for (const each of list.filter((one) => one.images)) {
      // Of each run the images of its newest evaluation are open.
      const older = newest.has(each.run), panels = [];
      newest.add(each.run);
      for (const score of each.images) {
        const rows = (images) => tableOf([], images.map(([image, value, row]) => ({ cells: [image, value, shots(each, row, image)] })), (at) => at === 1);
        const titles = { higher: ["Best, highest", "Worst, lowest"], lower: ["Worst, highest", "Best, lowest"] }[score.better] || ["Highest", "Lowest"];
        const ends = [element("div", {}, element("h4", {}, titles[0]), rows(score.highest)), element("div", {}, element("h4", {}, titles[1]), rows(score.lowest))];
        if (score.better === "lower") ends.reverse();
        panels.push(element("div", { className: "panel" }, element("h3", {}, named(each), `: ${score.name} of ${score.count.toLocaleString("en")} images`), element("div", { className: "columns" }, ...ends)));
      }
      parts.push(...(older ? [element("details", { className: "older" }, element("summary", {}, named(each), ": its best and worst images"), ...panels)] : panels));
    }
    byId("scores-body").replaceChildren(...parts);
  };

  const drawNav = () => {
    const shown = [...document.querySelectorAll("main > section")].filter((each) => !each.hidden && each.id !== "summary");
    byId("nav").replaceChildren(...shown.map((each) => element("a", { href: `#${each.id}` }, each.querySelector("h2").textContent)));
    follow();
  };
  const follow = () => {
    let current = null;
    for (const link of byId("nav").children) {
      const section = byId(link.getAttribute("href").slice(1));
      if (section.getBoundingClientRect().top < 180) current = link;
    }
    for (const link of byId("nav").children) {
      if (link === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  addEventListener("scroll", () => requestAnimationFrame(follow), { passive: true });

  const last = new Map();
  const draw = () => {
    const open = new Set([...document.querySelectorAll("#details-body details")].map((each, at) => each.open ? at : -1));
    const of = (...names) => content.runs.map((run) => names.map((name) => run[name]));
    const parts = [
      [drawHead], [drawSummary], [drawDiffer, content.differ], [drawNotes, of("notes", "guard")], [drawGrids, of("grids")], [drawCharts],
      [drawScores, content.evaluations], [drawData, of("grids", "domains")], [drawDetails, of("options", "environment", "files")],
      [drawCommands, of("commands")],
    ];
    for (const [part, shows] of parts) {
      // What is served anew and has not changed stays, with the focus in it.
      const text = content.live && shows ? JSON.stringify(shows) : undefined;
      if (text !== undefined && text === last.get(part)) continue;
      last.set(part, text);
      part();
    }
    [...document.querySelectorAll("#details-body details")].forEach((each, at) => { each.open = open.has(at); });
    drawNav();
  };

  // --- controls --------------------------------------------------------------------------------------------------

  byId("axis").addEventListener("change", () => { charts.axis = byId("axis").value; charts.zoom(null, null); });
  byId("log").addEventListener("change", () => { charts.log = byId("log").checked; charts.redraw(); });
  byId("smooth").addEventListener("input", () => {
    charts.smooth = Number(byId("smooth").value);
    byId("smooth-out").textContent = charts.smooth ? charts.smooth.toFixed(2) : "none";
    charts.redraw();
  });
  byId("reset").addEventListener("click", () => charts.zoom(null, null));
  charts.changed = () => { byId("reset").disabled = charts.from === null; };

  const THEMES = ["auto", "light", "dark"];
  let theme = "auto";
  try { theme = localStorage.getItem("translate-theme") || "auto"; } catch { /* some browsers keep nothing for files */ }
  const setTheme = (name) => {
    theme = THEMES.includes(name) ? name : "auto";
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    byId("theme").textContent = `Theme: ${theme}`;
    for (const key of document.querySelectorAll(".key")) key.style.background = charts.colour(key.dataset.hue);
    charts.redraw();
  };
  byId("theme").addEventListener("click", () => {
    setTheme(THEMES[(THEMES.indexOf(theme) + 1) % 3]);
    try { localStorage.setItem("translate-theme", theme); } catch { /* the same */ }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(theme));

  // --- what is new -----------------------------------------------------------------------------------------------

  let mark = "";
  const ask = async () => {
    try {
      const answer = await fetch("./data.json", { headers: mark ? { "If-None-Match": mark } : {}, cache: "no-store" });
      if (answer.status === 200) {
        mark = answer.headers.get("ETag") || "";
        content = await answer.json();
        draw();
      }
      if (answer.status === 200 || answer.status === 304) byId("state").replaceChildren(pill(content.runs[0].state));
      else byId("state").replaceChildren(element("span", { className: "pill stopped" }, "not readable now"));
    } catch {
      byId("state").replaceChildren(element("span", { className: "pill stopped" }, "no connection"));
    }
    setTimeout(ask, content.live * 1000);
  };

  setTheme(theme);
  draw();
  if (content.live) setTimeout(ask, content.live * 1000);
  document.documentElement.dataset.ready = "true";
})();
