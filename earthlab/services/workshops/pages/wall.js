const about = JSON.parse(document.getElementById("about").textContent);
const { prefix, xsrf } = document.body.dataset;
const at = (path) => `${prefix}w/${about.slug}/${path}`;
const wall = document.getElementById("wall");
const seats = new Map();
const tiles = new Map();
let room = { helps: [], pairs: [], closes: about.closes, unlocked: 1, parts: 1 };
let sequence = 0;
let byNumber = false;
let shown = null;

const colours = { d: "#1b7f47", r: "#1769aa", f: "#b00020", ".": "var(--strip)" };
const marks = { d: "✓", r: "▶", f: "✗", ".": "" };
const words = { free: "libre · free", active: "actif · active", away: "ailleurs · away", silent: "silencieux · silent", lost: "perdu · lost", finished: "a fini · finished" };
const read = ([number, name, cells, presence, hand, stuck, error, current, since, missing]) =>
  ({ number, name, cells, presence, hand, stuck, error, current, since, missing, done: cells.split("d").length - 1 });

// As the service orders them: hands first, the longest first; then the stuck; then the slowest.
const urgency = (it) => [it.presence === "free", it.hand === null, it.hand ?? 0, !it.stuck, it.stuck ? it.since : 0,
  it.presence === "finished", it.done, it.since, it.number].map(Number);
const compare = (a, b) => {
  const [x, y] = byNumber ? [[a.number], [b.number]] : [urgency(a), urgency(b)];
  const place = x.findIndex((value, index) => value !== y[index]);
  return place < 0 ? 0 : x[place] - y[place];
};

// The service's clock counts, whatever the time on this machine.
let ahead = 0;
const clock = () => Date.now() / 1000 + ahead;
const minutes = (since) => Math.max(0, Math.round((clock() - since) / 60));
// Failures are hatched, for who does not see red; a layer's place is a share of the room that it leaves.
const hatch = "repeating-linear-gradient(135deg, #b00020 0 3px, #ff8fa0 3px 5px)";
const paint = (cells) => {
  const step = 100 / Math.max(1, cells.length);
  const states = [...cells];
  const stops = states.map((state, n) => `${colours[state]} ${(n * step).toFixed(2)}% ${((n + 1) * step).toFixed(2)}%`);
  const failed = states.flatMap((state, n) => (state === "f" ? [(n * 100) / Math.max(1, cells.length - 1)] : []));
  const layers = failed.map((place) => `${hatch} ${place.toFixed(2)}% 0 / ${step.toFixed(2)}% 100% no-repeat`);
  return cells ? [...layers, `linear-gradient(90deg, ${stops.join(", ")})`].join(", ") : "";
};
const describe = (it) => {
  if (it.hand !== null) { return `☝ ${minutes(it.hand)} min`; }
  if (it.error) { return `✗ ${it.error.split(".").at(-1)}`; }
  if (it.stuck) { return `! ${minutes(it.since)} min`; }
  if (it.presence === "finished") { return "✓"; }
  if (it.presence === "silent" || it.presence === "lost") { return "…"; }
  return it.presence === "free" ? "" : `${it.done}/${it.cells.length}`;
};

const draw = (it) => {
  let tile = tiles.get(it.number);
  if (!tile) {
    tile = document.createElement("li");
    tile.innerHTML = '<button type="button"><span class="top-row"><span class="number"></span><span class="name"></span><span class="what"></span></span><span class="strip" aria-hidden="true"></span></button>';
    tile.firstChild.addEventListener("click", () => openSeat(it.number));
    tiles.set(it.number, tile);
  }
  const button = tile.firstChild;
  const kind = it.hand !== null ? "hand" : it.stuck ? "stuck" : it.presence;
  button.className = `is-${kind}`;
  button.dataset.seat = it.number;
  const number = it.guest ? `${it.number} + ${it.guest}` : it.number;
  button.dataset.cells = it.cells;
  button.querySelector(".number").textContent = number;
  button.querySelector(".name").textContent = it.name;
  button.querySelector(".what").textContent = describe(it);
  button.querySelector(".strip").style.background = paint(it.cells);
  button.setAttribute("aria-label", `Place ${number} ${it.name}, ${words[it.presence]}, ${it.done}/${it.cells.length}, ${describe(it)}`);
};

// Two who work in one notebook are one: what they do is told by the server in which they do it, a hand by either.
const joined = () => {
  const guests = new Map(room.pairs);
  const away = new Set(guests.values());
  return [...seats.values()].filter((it) => !away.has(it.number)).map((it) => {
    const guest = seats.get(guests.get(it.number));
    const hands = guest ? [it.hand, guest.hand].filter((hand) => hand !== null) : [];
    return guest ? { ...it, guest: guest.number, hand: hands.length ? Math.min(...hands) : null } : it;
  });
};

const arrange = (units) => {
  const sorted = units.sort(compare);
  const held = document.activeElement;
  tiles.forEach((tile, number) => { if (!sorted.some((it) => it.number === number)) { tile.remove(); } });
  sorted.forEach((it, place) => {
    const tile = tiles.get(it.number);
    if (wall.children[place] !== tile) { wall.insertBefore(tile, wall.children[place] ?? null); }
  });
  if (held && held.closest("#wall")) { held.focus({ preventScroll: true }); }
  // A small room has large tiles: the wall is read from the other end of it.
  wall.dataset.room = sorted.length > 70 ? "large" : sorted.length > 24 ? "middle" : "small";
  const count = (test) => sorted.filter(test).length;
  const everybody = [...seats.values()];
  const figures = {
    here: everybody.filter((it) => it.presence !== "free").length, hand: count((it) => it.hand !== null), stuck: count((it) => it.stuck),
    finished: count((it) => it.presence === "finished"), silent: count((it) => ["silent", "lost"].includes(it.presence)),
    free: everybody.filter((it) => it.presence === "free").length,
  };
  Object.entries(figures).forEach(([name, value]) => { document.querySelector(`[data-count="${name}"]`).textContent = value; });
  document.getElementById("empty").classList.toggle("hidden", figures.here > 0);
};

const take = (rows) => {
  const news = new Set(rows.map(read).map((it) => { seats.set(it.number, it); return it.number; }));
  const units = joined();
  units.filter((it) => news.has(it.number) || news.has(it.guest)).forEach(draw);
  arrange(units);
  if (shown !== null) { fillSeat(); }
};

const tell = () => {
  const left = Math.round((room.closes - clock()) / 60);
  const time = left > 120 ? `${Math.round(left / 60)} h` : `${left} min`;
  document.getElementById("clock").textContent =
    `${left > 0 ? `encore ${time} · ${time} left` : "terminé · over"} — partie ${room.unlocked}/${room.parts}`;
  document.getElementById("unlock").disabled = room.unlocked >= room.parts;
};

let source = null;
const connect = () => {
  source = new EventSource(`${at("stream")}?_xsrf=${encodeURIComponent(xsrf)}`);
  source.addEventListener("room", (event) => {
    room = JSON.parse(event.data);
    sequence = room.sequence;
    ahead = room.now - Date.now() / 1000;
    document.getElementById("line").classList.add("hidden");
    take(room.seats);
    tell();
  });
  source.addEventListener("seats", (event) => {
    const news = JSON.parse(event.data);
    if (news.sequence !== sequence + 1) { source.close(); connect(); return; }
    sequence = news.sequence;
    take(news.seats);
  });
  source.onerror = () => {
    document.getElementById("line").classList.remove("hidden");
    if (source.readyState === EventSource.CLOSED) { setTimeout(connect, 2000); }
  };
};

const send = async (what, fields = {}) => {
  const body = new URLSearchParams({ ...fields, _xsrf: xsrf });
  const answer = await fetch(at(`do/${what}`), { method: "POST", body }).catch(() => null);
  const refused = document.getElementById("refused");
  refused.classList.toggle("hidden", Boolean(answer && answer.ok));
  if (!answer || !answer.ok) {
    const said = answer ? await answer.json().catch(() => ({})) : {};
    refused.textContent = said.message ?? "Le service ne répond pas · The service does not answer";
  }
  return Boolean(answer && answer.ok);
};

const fillSeat = () => {
  const it = joined().find((each) => each.number === shown) ?? seats.get(shown);
  document.getElementById("seat-title").textContent = `Place ${it.guest ? `${it.number} + ${it.guest}` : it.number} ${it.name}`;
  const gaps = it.missing ? ` · ${it.missing} événements manquent · events missing` : "";
  const last = it.since ? ` · il y a ${minutes(it.since)} min · ${minutes(it.since)} min ago` : "";
  document.getElementById("seat-state").textContent = `${words[it.presence]} · ${it.done}/${it.cells.length}${it.error ? ` · ✗ ${it.error}` : ""}${last}${gaps}`;
  document.getElementById("seat-cells").replaceChildren(...[...it.cells].map((state, n) => {
    const cell = document.createElement("li");
    cell.className = state === "." ? "" : state;
    cell.title = about.order[n].join(" ");
    cell.textContent = `${marks[state]}${n + 1}`;
    return cell;
  }));
  const helps = room.helps.filter((help) => help.seat === shown && help.trainer === about.me);
  const help = helps.at(-1);
  const said = document.getElementById("seat-help");
  said.classList.toggle("hidden", !help);
  said.textContent = !help ? "" : help.answer === "yes"
    ? `Oui, jusqu’à · Yes, until ${new Date(help.until * 1000).toLocaleTimeString("fr", { hour: "2-digit", minute: "2-digit" })}`
    : "Demandé ; la personne n’a pas encore répondu. · Asked; no answer yet.";
  const enter = document.getElementById("seat-enter");
  enter.classList.toggle("hidden", !(help && help.answer === "yes"));
  if (help) { enter.href = at(`enter/${help.number}`); }
  document.querySelector('[data-seat="help"]').classList.toggle("hidden", Boolean(help));
  document.querySelector('[data-seat="lower"]').classList.toggle("hidden", it.hand === null);
};
const openSeat = (number) => { shown = number; fillSeat(); document.getElementById("seat").showModal(); };
document.getElementById("seat").addEventListener("close", () => { shown = null; });

document.querySelectorAll("[data-open]").forEach((button) => button.addEventListener("click", () => document.getElementById(button.dataset.open).showModal()));
document.querySelectorAll("[data-do]").forEach((button) => button.addEventListener("click", () => send(button.dataset.do, button.dataset.minutes ? { minutes: button.dataset.minutes } : {})));
document.querySelectorAll("[data-send]").forEach((button) => button.addEventListener("click", async () => {
  const dialog = button.closest("dialog");
  const text = dialog.querySelector("textarea");
  if (await send(button.dataset.send, { text: text.value })) { text.value = ""; dialog.close(); }
}));
document.querySelectorAll("[data-seat]:not(#wall *)").forEach((button) => button.addEventListener("click", async () => {
  const fields = { seat: shown };
  const text = document.getElementById("seat-text");
  if (button.dataset.seat === "message") { fields.text = text.value; }
  if (button.dataset.seat === "reset") { [fields.notebook, fields.cell] = document.getElementById("seat-reset").value.split("|"); }
  if (button.dataset.seat === "lower") {
    const guest = new Map(room.pairs).get(shown);
    if (guest && seats.get(guest)?.hand !== null) { await send("lower", { seat: guest }); }
  }
  if (await send(button.dataset.seat, fields) && button.dataset.seat === "message") { text.value = ""; }
}));
document.getElementById("sort").addEventListener("click", (event) => {
  byNumber = !byNumber;
  event.currentTarget.setAttribute("aria-pressed", String(byNumber));
  arrange(joined());
});
setInterval(tell, 10000);
connect();
