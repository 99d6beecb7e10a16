"use strict";
// What the page does with a script: sort, find, renew itself in place, and change servers without being left.
(() => {
  const $ = (id) => document.getElementById(id);
  const make = (tag, props, ...inside) => {
    const made = Object.assign(document.createElement(tag), props);
    made.append(...inside);
    return made;
  };
  const table = $("t");
  if (!table) return;
  document.documentElement.classList.add("js");

  // What was chosen outlives a reload, in this tab.
  const kept = (() => {
    try { return JSON.parse(sessionStorage.getItem("trilb" + location.pathname)) || {}; } catch { return {}; }
  })();
  const keep = (name, value) => {
    kept[name] = value;
    try { sessionStorage.setItem("trilb" + location.pathname, JSON.stringify(kept)); } catch { /* private window */ }
  };

  // -- sorting: every proxy's servers; its frontend stays first, its backend last -----------------------------------
  const headings = [...table.tHead.rows[1].cells];
  const order = new Map(); // rows in the order of the file
  const remember = () => { for (const row of table.querySelectorAll("tbody tr")) if (!order.has(row.id)) order.set(row.id, order.size); };
  const value = (row, at) => {
    const cell = row.cells[at];
    const said = cell.dataset.v ?? cell.textContent.trim();
    if (said === "") return null;
    const number = Number(said);
    return Number.isNaN(number) ? said.toLowerCase() : number;
  };
  const compare = (a, b) => typeof a === typeof b
    ? (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true })) : typeof a === "number" ? -1 : 1;
  const sort = () => {
    const { column, down } = kept.sort || {};
    headings.forEach((th, at) => {
      if (at === column) th.setAttribute("aria-sort", down ? "descending" : "ascending"); else th.removeAttribute("aria-sort");
    });
    for (const body of table.tBodies) {
      const rows = [...body.querySelectorAll("tr.S")];
      if (rows.length < 2) continue;
      const keys = new Map(rows.map((row) => [row, column === undefined ? order.get(row.id) : value(row, column)]));
      const sorted = rows.slice().sort((x, y) => {
        const a = keys.get(x), b = keys.get(y);
        if (a === null || b === null) return (a === null) - (b === null);
        return (down ? -1 : 1) * compare(a, b) || order.get(x.id) - order.get(y.id);
      });
      if (sorted.every((row, at) => row === rows[at])) continue;
      const last = body.querySelector("tr.B");
      for (const row of sorted) body.insertBefore(row, last);
    }
  };
  headings.forEach((th, at) => {
    const button = make("button", { type: "button", className: "h" }, th.firstChild.textContent);
    button.addEventListener("click", () => {
      const now = kept.sort || {};
      // Figures are looked at from the largest; a third click is the order of the file again.
      const first = at > 2;
      keep("sort", now.column !== at ? { column: at, down: first } : now.down === first ? { column: at, down: !first } : {});
      sort();
    });
    th.firstChild.replaceWith(button);
  });

  // -- finding, and hiding states -------------------------------------------------------------------------------------
  const find = $("find");
  const filter = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const body of table.tBodies) {
      const name = body.rows[0].cells[0].querySelector("h2").textContent.toLowerCase();
      let some = false;
      for (const row of [...body.rows].slice(1)) {
        const text = `${name} ${row.cells[0].textContent} ${row.cells[1].textContent} ${row.cells[2].textContent}`.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        some ||= !row.hidden;
      }
      body.hidden = !some;
    }
  };
  find.value = kept.find ?? find.value;
  find.addEventListener("input", () => { keep("find", find.value); filter(); });
  find.form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) { event.preventDefault(); find.focus(); }
    if (event.key === "Escape" && event.target === find) { find.value = ""; keep("find", ""); filter(); find.blur(); }
  });
  for (const box of document.querySelectorAll("#legend input")) {
    if ((kept.hidden || []).includes(box.id)) box.checked = false;
    box.addEventListener("change", () => keep("hidden", [...document.querySelectorAll("#legend input:not(:checked)")].map((b) => b.id)));
  }

  // -- renewing in place: cells are exchanged, so scroll position, focus, order and checked boxes stay ------------------
  const exchange = (old, fresh) => {
    if (old.outerHTML === fresh.outerHTML) return;
    old.replaceWith(document.adoptNode(fresh));
  };
  const state = (row) => row.className.split(" ")[0];
  const renewRow = (old, fresh) => {
    const changed = state(old) !== state(fresh);
    if (changed) old.className = `${fresh.className} new`; else old.classList.remove("new");
    const cells = [...fresh.cells];
    [...old.cells].forEach((cell, at) => {
      if (at > 0) exchange(cell, cells[at]);
      else if (cell.textContent !== cells[0].textContent) {
        const box = cell.querySelector("input"), other = cells[0].querySelector("input");
        if (box && other) other.checked = box.checked;
        exchange(cell, cells[0]);
      }
    });
  };
  const renewBody = (old, fresh) => {
    const known = new Map([...old.rows].slice(1).map((row) => [row.id, row]));
    const heading = old.rows[0].querySelector("div"), other = fresh.rows[0].querySelector("div");
    if (heading.textContent !== other.textContent) exchange(heading, other);
    for (const row of [...fresh.rows].slice(1)) {
      const there = known.get(row.id);
      if (there) { renewRow(there, row); known.delete(row.id); }
      else old.insertBefore(document.adoptNode(row), old.querySelector("tr.B"));
    }
    for (const row of known.values()) row.remove();
  };
  const renew = (text) => {
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = page.getElementById("t");
    if (!fresh) throw new Error("no page");
    document.title = page.title;
    const icon = document.querySelector("link[rel=icon]"), other = page.querySelector("link[rel=icon]");
    if (icon.href !== other.href) icon.href = other.href;
    exchange($("now"), page.getElementById("now"));
    const counts = [...page.querySelectorAll("#legend .n")];
    document.querySelectorAll("#legend .n").forEach((n, at) => {
      n.textContent = counts[at].textContent;
      n.className = counts[at].className;
    });
    const bodies = new Map([...table.tBodies].map((body) => [body.id, body]));
    for (const body of [...fresh.tBodies]) {
      const there = bodies.get(body.id);
      if (there) { renewBody(there, body); bodies.delete(body.id); } else table.append(document.adoptNode(body));
    }
    for (const body of bodies.values()) body.remove();
    remember(); sort(); filter(); count();
    const said = page.getElementById("said");
    if (said.textContent) say(said.textContent, said.className);
  };
  const say = (text, kind) => { const said = $("said"); said.textContent = text; said.className = kind || ""; };

  const seconds = Number(document.body.dataset.refresh);
  const choices = [0, 1, 2, 5, 10, 30, 60];
  if (seconds && !choices.includes(seconds)) choices.push(seconds);
  const every = make("select", { id: "every" }, ...choices.sort((a, b) => a - b).map((s) =>
    make("option", { value: s }, s ? `every ${s} s` : "off")));
  every.value = kept.every ?? seconds;
  const late = make("span", { className: "d", id: "late" });
  $("live").append(make("label", {}, "Live ", every), late);
  let timer = 0, last = Date.now(), asking = false;
  const ask = async (options) => {
    const answer = await fetch(document.body.dataset.page, { cache: "no-store", credentials: "same-origin", ...options });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    renew(await answer.text());
    last = Date.now();
    late.textContent = ""; late.className = "d";
  };
  const plan = () => {
    clearTimeout(timer);
    const wait = Number(every.value);
    if (wait && !document.hidden) timer = setTimeout(turn, wait * 1000);
  };
  const turn = async () => {
    if (!asking) {
      asking = true;
      try { await ask(); } catch (error) {
        late.textContent = `no answer for ${Math.round((Date.now() - last) / 1000)} s (${error.message})`;
        late.className = "late";
      }
      asking = false;
    }
    plan();
  };
  every.addEventListener("change", () => { keep("every", Number(every.value)); Number(every.value) ? turn() : plan(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && Number(every.value)) turn(); else plan(); });

  // -- changing servers ---------------------------------------------------------------------------------------------
  const bar = $("bar");
  const checked = () => [...table.querySelectorAll("input[name=s]:checked")];
  function count() {
    if (!bar) return;
    const boxes = checked();
    bar.hidden = !boxes.length;
    $("count").textContent = `${boxes.length} server${boxes.length === 1 ? "" : "s"}`;
  }
  if (bar) {
    table.addEventListener("change", (event) => {
      const box = event.target;
      if (box.dataset.all !== undefined)
        for (const other of box.closest("tbody").querySelectorAll("tr:not([hidden]) input[name=s]"))
          if (other.offsetParent) other.checked = box.checked;
      count();
    });
    const dialog = $("sure");
    const sure = (text) => new Promise((resolve) => {
      $("ask").textContent = text;
      dialog.returnValue = "no";
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
      dialog.showModal();
    });
    const act = async (action, title) => {
      const boxes = checked();
      const names = boxes.map((box) => `${box.closest("tbody").querySelector("h2").textContent}/${box.value}`);
      if (bar.dataset.sure.split(" ").includes(action) && !await sure(`${title}?\n\n${names.join("\n")}`)) return;
      const forms = new Map();
      for (const box of boxes) {
        const b = box.closest("tbody").dataset.b;
        if (!forms.has(b)) forms.set(b, new URLSearchParams([["b", `#${b}`], ["action", action]]));
        forms.get(b).append("s", box.value);
      }
      try {
        for (const form of forms.values()) await ask({ method: "POST", body: form });
        for (const box of boxes) box.checked = false;
        count();
      } catch (error) { say(`Not done: ${error.message}`, "bad"); }
    };
    bar.addEventListener("click", (event) => {
      const { value, textContent } = event.target.closest("button") || {};
      if (value === "clear") { for (const box of checked()) box.checked = false; count(); }
      else if (value) act(value, textContent);
    });
    const more = $("more");
    more.addEventListener("change", () => {
      const title = more.selectedOptions[0].textContent, action = more.value;
      more.value = "";
      if (action) act(action, title);
    });
  }

  remember(); sort(); filter(); count(); plan();
})();
