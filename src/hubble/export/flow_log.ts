/**
 * What one file of flows is to have in it: `hubble.export` of the configuration, or an entry of `flowLogs` in a file that
 * may change while the proxy runs. That file is Cilium's (hubble-flowlogs-config-path, pkg/hubble/exporter).
 */
import type { JsonValue } from '@bufbuild/protobuf';
import type { DocumentLimits } from '../../text/document_bounds.ts';
import { parseYamlDocument } from '../../text/yaml_documents.ts';
import { messageOfJson } from '../flow/flow_json.ts';
import { type FlowFilter, FlowFilterSchema } from '../generated/flow/flow_pb.ts';

export interface FlowLog {
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  /** Flows that any of these takes, or all when there is none; and none that a denying one takes. */
  readonly allow: readonly FlowFilter[];
  readonly deny: readonly FlowFilter[];
  /** Empty: all fields. */
  readonly fieldMask: readonly string[];
  /** Milliseconds since the epoch; null: without an end. */
  readonly endMs: number | null;
  readonly fileBytesMax: number;
  readonly backupCountMax: number;
  readonly isCompressed: boolean;
}

export type FlowLogsResult =
  | { readonly kind: 'logs'; readonly logs: readonly FlowLog[] }
  | { readonly kind: 'error'; readonly message: string };

export interface FlowLogLimits extends DocumentLimits {
  readonly hubbleExportFileCountMax: number;
}

const MIB = 1024 * 1024;
/** Cilium's. */
const FILE_MIB_DEFAULT = 10;
const BACKUP_COUNT_DEFAULT = 5;

/** The text of the file. An empty one asks for nothing. */
export function parseFlowLogs(text: string, limits: FlowLogLimits): FlowLogsResult {
  try {
    const document = parseYamlDocument(text, { limits });
    const [problem] = document.errors;
    if (problem !== undefined) throw new FlowLogError(problem.message.split('\n')[0] ?? '');
    const root = fieldsOf(document.toJS({ maxAliasCount: 0 }) ?? {}, 'the file', ['flowLogs']);
    const entries = listOf(root['flowLogs'] ?? [], 'flowLogs');
    if (entries.length > limits.hubbleExportFileCountMax) {
      throw new FlowLogError(`more than ${limits.hubbleExportFileCountMax} flowLogs`);
    }
    const logs = entries.map(logOf);
    return { kind: 'logs', logs: withoutDuplicates(logs) };
  } catch (error) {
    if (!(error instanceof FlowLogError)) throw error;
    return { kind: 'error', message: error.message };
  }
}

/** A JSON FlowFilter, as `hubble observe --print-raw-filters` prints it; null: it is none. */
export function filterOfJson(json: unknown): FlowFilter | null {
  try {
    return messageOfJson(FlowFilterSchema, json as JsonValue);
  } catch {
    return null;
  }
}

class FlowLogError extends Error {}

type Fields = Readonly<Record<string, unknown>>;

const MEMBERS = [
  ...['name', 'filePath', 'fieldMask', 'includeFilters', 'excludeFilters', 'end'],
  ...['fileMaxSizeMb', 'fileMaxBackups', 'fileCompress'],
];

function logOf(value: unknown, index: number): FlowLog {
  const at = `flowLogs[${index}]`;
  const fields = fieldsOf(value, at, MEMBERS);
  return {
    name: textOf(fields['name'], `${at}.name`),
    path: pathOf(fields['filePath'], `${at}.filePath`),
    allow: filtersOf(fields['includeFilters'], `${at}.includeFilters`),
    deny: filtersOf(fields['excludeFilters'], `${at}.excludeFilters`),
    fieldMask: listOf(fields['fieldMask'] ?? [], `${at}.fieldMask`).map((one) =>
      textOf(one, `${at}.fieldMask`),
    ),
    endMs: endOf(fields['end'] ?? null, `${at}.end`),
    fileBytesMax:
      MIB * numberOf(fields['fileMaxSizeMb'] ?? 0, FILE_MIB_DEFAULT, `${at}.fileMaxSizeMb`),
    backupCountMax: numberOf(
      fields['fileMaxBackups'] ?? 0,
      BACKUP_COUNT_DEFAULT,
      `${at}.fileMaxBackups`,
    ),
    isCompressed: (fields['fileCompress'] ?? false) === true,
  };
}

function withoutDuplicates(logs: readonly FlowLog[]): readonly FlowLog[] {
  for (const [index, { name, path }] of logs.entries()) {
    const other = logs.slice(0, index).find((one) => one.name === name || one.path === path);
    if (other === undefined) continue;
    throw new FlowLogError(`flowLogs "${other.name}" and "${name}" have one name, or one file`);
  }
  return logs;
}

function fieldsOf(value: unknown, at: string, known: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new FlowLogError(`${at}: must be a mapping`);
  }
  const unknown = Object.keys(value).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new FlowLogError(`${at}: unknown field "${unknown}"; there are ${known.join(', ')}`);
  }
  return value as Fields;
}

function listOf(value: unknown, at: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new FlowLogError(`${at}: must be a list`);
  return value;
}

function textOf(value: unknown, at: string): string {
  if (typeof value !== 'string' || value === '') throw new FlowLogError(`${at}: must be a text`);
  return value;
}

function pathOf(value: unknown, at: string): string {
  const path = textOf(value, at);
  if (path === 'stdout') throw new FlowLogError(`${at}: stdout is the log's; give a file`);
  if (!path.startsWith('/')) throw new FlowLogError(`${at}: must be an absolute path`);
  return path;
}

function filtersOf(value: unknown, at: string): readonly FlowFilter[] {
  return listOf(value ?? [], at).map((one, index) => {
    const filter = filterOfJson(one);
    if (filter === null) throw new FlowLogError(`${at}[${index}]: is no filter of flows`);
    return filter;
  });
}

function endOf(value: unknown, at: string): number | null {
  if (value === null) return null;
  // YAML reads a time without quotes as one.
  const ms = value instanceof Date ? value.getTime() : Date.parse(textOf(value, at));
  if (Number.isNaN(ms))
    throw new FlowLogError(`${at}: must be a time such as 2026-12-31T23:59:59Z`);
  return ms;
}

/** 0 is as if it were not there, as in Cilium. */
function numberOf(value: unknown, zero: number, at: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw new FlowLogError(`${at}: must be a whole number`);
  }
  return value === 0 ? zero : value;
}
