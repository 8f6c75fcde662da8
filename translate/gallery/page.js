(() => {
  const STEP = 400;  // tiles that are made at a time
  const records = JSON.parse(byId("records").textContent);
  const grid = byId("grid"), search = byId("search"), show = byId("show"), viewer = byId("viewer");
  const plain = (text) => text.normalize("NFC").toLowerCase();
  const keys = records.map((record) => plain(record.name));
  let chosen = [];  // the records that fit, by number
  let first = 0, made = 0;  // of the chosen, those from first up to made have tiles
  let current = -1;  // of the chosen, the tile that has or had the focus
  let open = -1;  // of the chosen, the one in the viewer

  const tile = (place) => {
    const record = records[chosen[place]];
    const failed = record.reason !== undefined;
    const picture = element("span", { className: "picture" });
    if (record.thumbnail) {
      const image = element("img", { loading: "lazy", decoding: "async", alt: "", src: record.thumbnail });
      if (record.alpha) image.className = "alpha";
      image.addEventListener("error", () => image.replaceWith("no preview"));
      picture.append(image);
    } else {
      picture.append(failed ? record.reason : "no preview");
    }
    const count = (record.after || []).length;
    const badge = failed ? "failed" : count > 1 ? `${count} samples` : "";
    const label = element("span", { className: "label" }, element("bdi", { title: record.name }, record.name));
    if (badge) label.append(element("span", { className: "badge" }, badge));
    const made = element("button", { type: "button", className: failed ? "tile failed" : "tile" }, picture, label);
    made.tabIndex = place === Math.max(current, 0) ? 0 : -1;
    made.setAttribute("aria-label", `${record.name}, ${failed ? "failed: " + record.reason : badge || "converted"}`);
    made.dataset.place = place;
    const item = element("li", {}, made);
    item.setAttribute("aria-posinset", place + 1);
    item.setAttribute("aria-setsize", chosen.length);
    return item;
  };

  const tiles = (from, until) => {
    const added = document.createDocumentFragment();
    for (let place = from; place < until; place += 1) added.append(tile(place));
    return added;
  };

  const later = () => {
    const from = made;
    made = Math.min(made + STEP, chosen.length);
    grid.append(tiles(from, made));
  };

  const earlier = () => {
    const until = first;
    first = Math.max(first - STEP, 0);
    const height = grid.offsetHeight;
    grid.prepend(tiles(first, until));
    scrollBy(0, grid.offsetHeight - height);  // what is looked at stays where it is
  };

  const begin = (place) => {
    first = made = Math.max(place - STEP / 2, 0);
    grid.replaceChildren();
    later();
  };

  const button = (place) => {
    const item = grid.children[place - first];
    return item && item.firstChild;
  };

  const list = () => {
    const wanted = plain(search.value.trim());
    const kind = show.value;
    chosen = [];
    let failed = 0;
    records.forEach((record, number) => {
      const bad = record.reason !== undefined;
      if (kind !== "all" && bad !== (kind === "failed")) return;
      if (wanted && !keys[number].includes(wanted)) return;
      chosen.push(number);
      failed += bad;
    });
    current = -1;
    begin(0);
    byId("none").hidden = chosen.length > 0;
    const all = chosen.length === records.length ? "" : ` of ${records.length}`;
    const images = chosen.length === 1 && !all ? "image" : "images";
    byId("count").textContent = `${chosen.length}${all} ${images}, ${failed} failed`;
  };

  const focus = (place) => {
    place = Math.min(Math.max(place, 0), chosen.length - 1);
    if (place < 0) return;
    const before = button(Math.max(current, 0));
    if (before) before.tabIndex = -1;
    current = place;
    if (place < first || place >= made) begin(place);
    const now = button(place);
    now.tabIndex = 0;
    now.focus();
    now.scrollIntoView({ block: "nearest" });
  };

  const columns = () => getComputedStyle(grid).gridTemplateColumns.split(" ").length;

  const slide = () => divide("before", "after");

  const sample = (record, number) => {
    const after = byId("after"), before = byId("before");
    const source = (record.after || [])[number];
    byId("missing").hidden = true;
    byId("pair").hidden = !source && !record.before;
    const main = source || record.before;
    after.hidden = !main;
    if (main) after.src = main;
    const both = Boolean(source && record.before);
    before.hidden = byId("divider").hidden = byId("slider").hidden = !both;
    if (both) before.src = record.before;
    for (const tag of document.querySelectorAll(".tag")) tag.hidden = !both;
    after.alt = source ? `${record.name}, after` : `${record.name}, before`;
    before.alt = both ? `${record.name}, before` : "";
    for (const image of [after, before]) image.classList.toggle("alpha", Boolean(record.alpha));
    [...byId("samples").children].forEach((button, place) => button.setAttribute("aria-pressed", place === number));
  };

  const view = (place) => {
    if (place < 0 || place >= chosen.length) return;
    open = place;
    const record = records[chosen[place]];
    byId("name").replaceChildren(element("bdi", {}, record.name), ` (${place + 1} of ${chosen.length})`);
    byId("reason").hidden = record.reason === undefined;
    byId("reason").textContent = record.reason || "";
    const after = record.after || [];
    byId("samples").replaceChildren(...(after.length < 2 ? [] : after.map((source, number) => {
      const image = element("img", { src: source, alt: `Sample ${number + 1}`, className: record.alpha ? "alpha" : "" });
      const button = element("button", { type: "button" }, image);
      button.addEventListener("click", () => sample(record, number));
      return button;
    })));
    sample(record, 0);
    const facts = [];
    if (record.size) facts.push(`${record.size[0]} x ${record.size[1]} pixels`);
    if (record.seconds !== undefined) facts.push(`${record.seconds} s`);
    byId("facts").replaceChildren(facts.join(", "));
    for (const [name, link] of record.files || []) {
      byId("facts").append(facts.length ? ", " : "", element("a", { href: link, target: "_blank", rel: "noreferrer" }, element("bdi", {}, name)));
      facts.push(name);
    }
    byId("previous").disabled = place === 0;
    byId("next").disabled = place === chosen.length - 1;
    if (!viewer.open) {
      byId("slider").value = 50;
      viewer.showModal();
    }
    (byId("slider").hidden ? byId("close") : byId("slider")).focus();
    slide();
  };

  for (const image of [byId("after"), byId("before")]) {
    image.addEventListener("error", () => {
      byId("pair").hidden = true;
      byId("missing").hidden = false;
    });
    image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < 256));
  }
  grid.addEventListener("click", (event) => {
    const clicked = event.target.closest("button");
    if (!clicked) return;
    focus(Number(clicked.dataset.place));
    view(current);
  });
  grid.addEventListener("keydown", (event) => {
    const moves = {
      ArrowLeft: () => current - 1, ArrowRight: () => current + 1, ArrowUp: () => current - columns(),
      ArrowDown: () => current + columns(), Home: () => 0, End: () => chosen.length - 1,
    };
    const from = event.target.closest("button");
    if (!moves[event.key] || !from || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    from.tabIndex = -1;
    current = Number(from.dataset.place);
    const to = moves[event.key]();
    focus(to >= 0 && to < chosen.length ? to : current);
  });
  viewer.addEventListener("keydown", (event) => {
    if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      event.preventDefault();
      view(open + (event.key === "ArrowUp" ? -1 : 1));
    }
  });
  viewer.addEventListener("close", () => focus(open));
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
  byId("slider").addEventListener("input", slide);
  byId("previous").addEventListener("click", () => view(open - 1));
  byId("next").addEventListener("click", () => view(open + 1));
  byId("close").addEventListener("click", () => viewer.close());
  search.addEventListener("input", list);
  search.addEventListener("keydown", (event) => { if (event.key === "Escape" && search.value) { search.value = ""; list(); } });
  show.addEventListener("change", list);
  for (const [id, add] of [["earlier", earlier], ["later", later]]) {
    const near = (entries) => { if (entries.some((entry) => entry.isIntersecting)) add(); };
    new IntersectionObserver(near, { rootMargin: "1500px" }).observe(byId(id));
  }
  list();
})();
