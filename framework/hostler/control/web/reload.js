// Reloads the configuration: first what would change, then the same in truth.

import {show} from "./dialog.js";
import {h} from "./dom.js";
import {plural} from "./format.js";
import {post} from "./session.js";
import {refusal, toast} from "./toast.js";

export async function reload() {
  try {
    const plan = await post("/v1/reload", {dry_run: true});
    const parts = planned(plan);
    if (!parts.length) {
      await show("Nothing to reload", [h("p", {}, "The configuration on disk is the one that is in use.")]);
      return;
    }
    if (!await show("Reload the configuration?", parts, {confirm: "Reload"})) return;
    await post("/v1/reload", {});
    toast("The configuration was reloaded");
  } catch (error) {
    refusal(error);
  }
}

function planned(plan) {
  const restarted = plan.restarted.filter((name) => !plan.when_idle.includes(name));
  return [
    names("Added", plan.added), names("Removed, and stopped", plan.removed), names("Restarted", restarted),
    names("Restarted once nothing runs on them", plan.when_idle),
    ...Object.entries(plan.changed).map(([name, keys]) => changes(name, keys)),
    names("Listeners added", plan.listeners.added), names("Listeners removed", plan.listeners.removed),
    ...Object.entries(plan.listeners.changed).map(([name, keys]) => changes(`listener ${name}`, keys)),
    plan.control.length > 0 && changes("[control], once hostler is started anew", plan.control),
    plan.unchanged.length > 0 && anyOf(plan) && h("p", {class: "muted"}, `${plural(plan.unchanged.length, "server")} unchanged.`),
  ].filter(Boolean);
}

function anyOf(plan) {
  const lists = [plan.added, plan.removed, plan.restarted, plan.when_idle, plan.control, plan.listeners.added, plan.listeners.removed];
  return lists.some((list) => list.length) || [plan.changed, plan.listeners.changed].some((one) => Object.keys(one).length);
}

function names(title, list) {
  return list.length > 0 && h("section", {}, h("h3", {}, title), h("ul", {}, list.map((name) => h("li", {}, name))));
}

function changes(name, keys) {
  const lines = keys.map((key) => h("li", {}, h("code", {}, key.key), ": ",
    key.before === null ? "not set" : h("code", {}, key.before), " becomes ",
    key.after === null ? "not set" : h("code", {}, key.after)));
  return keys.length > 0 && h("section", {}, h("h3", {}, name), h("ul", {}, lines));
}
