export { createClient, type Client, type ClientOptions } from "./client.ts";
export type { CallOptions } from "./calls.ts";
export type { Channel, Group, PublishOptions, Query, Result } from "./channel.ts";
export type { Status } from "./connection.ts";
export { type ErrorCode, WidgetwireError } from "./errors.ts";
export type { ChannelEvent, EventOptions, Message } from "./events.ts";
export type { Aggregate, ChannelPolicy, FilterOperator, MessageFilter, MessageQuery, OnRepeat, PageInfo, SortOrder, Viewer } from "./generated.ts";
export type { ClientTokenStorage, TokenSource } from "./identity.ts";
export type { Stream } from "./stream.ts";
