/**
 * What all panels have in common: a line that says what is wrong, each cause until that one is
 * over, and controls that are off while nothing can come of them.
 */
import { $ } from "./dom.js";
import { Gate, rules } from "./gate.js";

const CALM = new Set(["closed", "rules"]); // nothing is wrong

export class Panel {
  #causes = new Map();
  #pending = 0;
  #over = false;
  #waiting;
  #gate = new Gate((reason) => {
    // What was refused may be allowed now.
    if (!reason) this.#say("refused", "");
    this.#say("closed", reason);
  });

  /**
   * @param {string} name as in `data-panel`
   * @param {string} waiting what to say of what was done while offline
   */
  constructor(name, waiting = "") {
    this.within = $(`[data-panel="${name}"]`);
    this.#waiting = waiting;
    const device = () => this.#say("device", navigator.onLine ? "" : "This device is offline.");
    addEventListener("online", device);
    addEventListener("offline", device);
    device();
  }

  /** What a widget tells its panel: of its socket, of its live result, of its channel's policy. */
  get callbacks() {
    return {
      link: (text, { final = false } = {}) => {
        this.#over = final;
        this.#say("socket", text);
      },
      state: (text) => this.#say("result", text),
      policy: (policy) => {
        this.#say("rules", rules(policy));
        this.#gate.follow(policy);
      },
    };
  }

  get offline() {
    return ["device", "socket", "result"].some((cause) => this.#causes.has(cause));
  }

  /**
   * Says that what somebody did waits for the connection, or why it was refused, until it is done
   * or something else is.
   */
  async follow(doing) {
    this.#pending++;
    this.#draw();
    try {
      const done = await doing;
      this.#say("refused", "");
      return done;
    } catch (error) {
      this.#say("refused", error.message);
      throw error;
    } finally {
      this.#pending--;
      this.#draw();
    }
  }

  #say(cause, text) {
    if (text) this.#causes.set(cause, text);
    else this.#causes.delete(cause);
    this.#draw();
  }

  #draw() {
    const closed = this.#causes.has("closed");
    this.within.classList.toggle("off", this.offline);
    this.within.classList.toggle("closed", closed);
    const controls = $("fieldset", this.within);
    if (controls) controls.disabled = this.#over || closed;
    const said = new Set(this.#causes.values());
    if (this.#pending && this.offline && !this.#over) said.add(this.#waiting);
    const line = $(".state", this.within);
    const calm = [...this.#causes.keys()].every((cause) => CALM.has(cause));
    line.classList.toggle("calm", calm);
    const text = [...said].join(" ");
    if (line.textContent !== text) line.textContent = text;
  }
}
