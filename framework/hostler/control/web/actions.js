// Commands to servers. Those that end something are asked about once.

import {ask} from "./dialog.js";
import {button} from "./dom.js";
import {post, serverPath} from "./session.js";
import {forbids} from "./states.js";
import {refusal, toast} from "./toast.js";

export const COMMANDS = {start: "Start", stop: "Stop", restart: "Restart"};

export async function command(name, row) {
  const reason = forbids(name, row);
  if (reason) {
    toast(`${row.name} cannot be ${name === "stop" ? "stopped" : `${name}ed`} now: ${reason}`, {failed: true});
    return;
  }
  if (name !== "start" && !await ask(`${COMMANDS[name]} ${row.name}?`, question(name, row), COMMANDS[name])) return;
  try {
    await post(serverPath(row.name, `/${name}`), {wait: false});
  } catch (error) {
    refusal(error);
  }
}

function question(name, row) {
  const age = row.pid ? `It runs as process ${row.pid}. ` : "";
  return name === "stop" ? `${age}It stays stopped until it is started again.` : `${age}It is stopped and started again.`;
}

export async function stopAll(count) {
  if (!await ask("Stop all servers?", `${count} are stopped, and stay so until they are started again. hostler goes on.`, "Stop all")) return;
  try {
    await post("/v1/servers/stop", {wait: false});
  } catch (error) {
    refusal(error);
  }
}

// The buttons of one server, and what brings them up to date.
export function commandButtons(current) {
  const buttons = Object.entries(COMMANDS).map(([name, label]) => {
    const one = button(label, () => command(name, current()), {class: "command-button"});
    return {name, label, one};
  });
  const update = (row) => {
    for (const {name, label, one} of buttons) {
      const reason = forbids(name, row);
      one.setAttribute("aria-disabled", reason ? "true" : "false");
      one.setAttribute("aria-label", reason ? `${label} ${row.name}: not now, ${reason}` : `${label} ${row.name}`);
      one.title = reason ? `Not now: ${reason}` : "";
    }
  };
  return {elements: buttons.map(({one}) => one), update};
}
