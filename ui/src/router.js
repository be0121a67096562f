// Pages by the fragment of the URL: #/user/ID?k=20.
import { signal } from "@preact/signals";

function read() {
  const [way, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [page = "", ...rest] = way.split("/");
  let id = null;
  try {
    id = rest.length ? decodeURIComponent(rest.join("/")) : null;
  } catch {
    id = rest.join("/");
  }
  return { page: page || "overview", id, search: new URLSearchParams(search) };
}

export const route = signal(read());
addEventListener("hashchange", () => (route.value = read()));

export const link = (page, id) => `#/${page}${id === undefined ? "" : "/" + encodeURIComponent(id)}`;
export const go = (page, id) => (location.hash = link(page, id));
