// Asks for an access token where the service needs one. The token is sent once and kept nowhere in the page.

import { Away, Refused, signIn } from "./api.js";
import { h } from "./dom.js";

/** The form; calls `done` once signed in. */
export function signInForm(done) {
  return h("form", { class: "empty sign-in", onsubmit: (event) => submit(event, done) },
    h("h2", null, "Sign in"),
    h("p", null, "This service needs an access token. Whoever runs it makes one with ", h("code", null, "switchback token create"), "."),
    h("label", { for: "token" }, "Access token"),
    h("input", { id: "token", type: "password", autocomplete: "off", required: true, placeholder: "sbk_…", spellcheck: "false" }),
    h("p", { class: "sign-in-error", role: "alert" }),
    h("button", { type: "submit" }, "Sign in"));
}

async function submit(event, done) {
  event.preventDefault();
  const form = event.currentTarget;
  const field = form.querySelector("input");
  try {
    await signIn(field.value.trim());
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Away)) throw error;
    form.querySelector(".sign-in-error").textContent = `That did not work: ${error.message}`;
    return;
  }
  field.value = "";
  await done();
}
