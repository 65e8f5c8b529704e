// Keeps the live parts of a page current, and adds keys. Every page works without it.
"use strict";

(() => {
  const main = document.getElementById("main");

  // Replaces the content of an element, and keeps the focus and the open parts.
  const replace = (element, html) => {
    const focused = document.activeElement;
    const key = focused && element.contains(focused) && focused.getAttribute("href");
    element.innerHTML = html;
    if (key) {
      const again = [...element.querySelectorAll("a")].find((a) => a.getAttribute("href") === key);
      if (again) again.focus({ preventScroll: true });
    }
  };

  // Loads the page again and takes over its main part.
  const reload = async () => {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("main");
    if (!fresh) return;
    main.innerHTML = fresh.innerHTML;
    main.dataset.live = fresh.dataset.live || "";
    document.title = page.title;
    listen();
  };

  let source = null;
  const listen = () => {
    if (source) source.close();
    source = null;
    const path = main.dataset.live;
    // A browser opens few connections to one server, so tabs in the background give theirs back.
    if (!path || document.hidden) return;
    source = new EventSource(path);
    source.addEventListener("part", (event) => {
      const end = event.data.indexOf("\n");
      const element = document.getElementById(event.data.slice(0, end));
      if (element) replace(element, event.data.slice(end + 1));
    });
    source.addEventListener("reload", () => {
      source.close();
      reload();
    });
  };
  if (main) {
    listen();
    document.addEventListener("visibilitychange", listen);
    addEventListener("pagehide", () => source && source.close());
  }

  // `g` and a letter go to a page, `n` files an issue, `/` goes to the filter, `j` and `k` move
  // between rows.
  const places = { o: "/", i: "/issues", r: "/reviews", b: "/blueprints", s: "/settings", w: "/workers" };
  let before = "";
  document.addEventListener("keydown", (event) => {
    const at = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName)) return;
    const key = event.key;
    if (before === "g" && places[key]) {
      location.href = places[key];
    } else if (key === "n" && document.querySelector(".who a.primary")) {
      location.href = "/issues?new=1#new";
    } else if (key === "/") {
      const field = document.querySelector(".filters input, .filters select");
      if (field) {
        event.preventDefault();
        field.focus();
      }
    } else if (key === "j" || key === "k") {
      const rows = [...document.querySelectorAll("table.rows tbody td.wide > a")];
      const next = rows.indexOf(document.activeElement) + (key === "j" ? 1 : -1);
      if (rows[next]) rows[next].focus();
    }
    before = key;
  });

  // On a narrow screen the present place may lie outside the row of places.
  const here = document.querySelector(".top nav [aria-current]");
  if (here) {
    const row = here.parentElement;
    row.scrollLeft = here.offsetLeft - row.offsetLeft - (row.clientWidth - here.offsetWidth) / 2;
  }

  // The graph moves with the pointer.
  for (const pane of document.querySelectorAll("[data-pan]")) {
    let from = null;
    pane.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse" || event.button !== 0) return;
      from = { x: event.clientX + pane.scrollLeft, y: event.clientY + pane.scrollTop };
      pane.setPointerCapture(event.pointerId);
    });
    pane.addEventListener("pointermove", (event) => {
      if (!from) return;
      pane.scrollLeft = from.x - event.clientX;
      pane.scrollTop = from.y - event.clientY;
    });
    pane.addEventListener("pointerup", () => { from = null; });
  }

  // Opens what the address names.
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") {
    target.open = true;
    const field = target.querySelector("input:not([type=hidden]), textarea");
    if (field) field.focus();
  }
})();
