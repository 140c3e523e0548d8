// The page: signs in, follows the servers, and shows the one that the address names, or all.

import {announceStates} from "./announcements.js";
import {h} from "./dom.js";
import {Header} from "./header.js";
import {listenToKeys} from "./keyboard.js";
import {List} from "./list.js";
import {message, signedOut} from "./message.js";
import {ServerPage} from "./server.js";
import {signIn, signOut} from "./session.js";
import {Store} from "./store.js";
import {applyTheme} from "./theme.js";

const main = document.getElementById("main");
let page = {element: h("div"), close() {}};

function show(next) {
  page.close();
  page = next;
  main.replaceChildren(next.element);
}

// An address that somebody wrote by hand may be none.
function decoded(words) {
  try {
    return decodeURIComponent(words);
  } catch (error) {
    return words;
  }
}

function plain(element) {
  return {element, close() {}};
}

async function begin() {
  applyTheme();
  try {
    if (!await signIn()) return show(plain(signedOut()));
  } catch (error) {
    return show(plain(signedOut()));
  }
  const store = new Store();
  const header = new Header(document.getElementById("header"), store);
  const open = () => {
    const found = /^#\/servers\/(.+)$/.exec(location.hash);
    const name = found && decoded(found[1]);
    const isLeft = page.server;
    if (store.daemon === null) return;
    if (name && store.rows.has(name)) show(new ServerPage(store, name));
    else if (name) show({...plain(message(`There is no server ${name}`, "It was removed, or never there. Esc leads to all servers.")), server: ""});
    else show(new List(store));
    header.page = page.title ? `${page.title} – hostler` : "hostler";
    if (name) main.focus({preventScroll: true});
    if (name) scrollTo(0, 0); // with the header
    else if (isLeft) [...document.querySelectorAll("[data-server]")].find((one) => one.dataset.server === isLeft)?.querySelector(".name").focus();
  };
  listenToKeys(store, () => page);
  announceStates(store);
  window.addEventListener("hashchange", open);
  store.addEventListener("connection", () => {
    if (store.connection === "refused") {
      signOut();
      show(plain(signedOut()));
    } else if (store.connection === "live") {
      if (!page.title) open();
    }
  });
  await store.run();
}

begin();
