import createClient from "openapi-fetch";
import type { paths } from "./api.js";

const api = createClient<paths>({ baseUrl: process.argv[2] });

function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

const stored = await api.POST("/v1/events", { body: { user_id: "d", item_id: "pot" } });
check(stored.data?.accepted === 1, "an event with its two required fields");
const item = await api.PUT("/v1/items/{item_id}", {
  params: { path: { item_id: "tea" } },
  body: { title: "Green tea" },
});
check(item.response.ok, "an item with one field");
const list = await api.GET("/v1/users/{user_id}/recommendations", {
  params: { path: { user_id: "d" }, query: { k: 1 } },
});
check(list.data?.items[0].item_id === "tea", "a list");
const session = await api.POST("/v1/recommendations", { body: { history: ["pot"] } });
check(session.data !== undefined && session.data.items.length > 0, "a list of a session");
const refused = await api.GET("/v1/users/{user_id}/recommendations", {
  params: { path: { user_id: "d" }, query: { k: 0 } },
});
check(refused.error?.field === "k", "a problem names the field");
const health = await api.GET("/readyz");
check(health.data?.status === "ready", "health");
console.log("told");
