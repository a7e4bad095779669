/**
 * The configuration file, with environment and flags laid over it, decoded whole: either a valid
 * configuration or every problem there is. Reads one file and nothing else.
 */
import { readFileSync, statSync } from 'node:fs';
import { availableParallelism, hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { LIMITS } from '../model/limits.ts';
import { type Config, configOf, crossProblems } from './config.ts';
import { CONFIG_FIELD } from './declaration.ts';
import { DecodeContext, INVALID } from './field.ts';
import {
  type ConfigProblem,
  formatProblem,
  type Located,
  type Origin,
  parseLocated,
} from './located.ts';
import {
  CONFIG_VARIABLE,
  type Environment,
  type FlagOverride,
  overlayEnvironment,
  overlayFlags,
} from './overrides.ts';

const NODE_NAME_VARIABLE = 'NODE_NAME';

export interface LoadOptions {
  /** Null: SALLYPORT_CONFIG names it. */
  readonly path: string | null;
  readonly flags: readonly FlagOverride[];
  readonly env: Environment;
  readonly cwd: string;
}

export type ConfigResult =
  | { readonly kind: 'config'; readonly config: Config }
  /** Each problem in one line: "file:line:column: field: message". */
  | { readonly kind: 'rejected'; readonly problems: readonly string[] };

export function loadConfig(options: LoadOptions): ConfigResult {
  const given = options.path ?? options.env[CONFIG_VARIABLE] ?? '';
  if (given === '') {
    return rejected([`no configuration: give -c FILE or set ${CONFIG_VARIABLE}`]);
  }
  const path = resolve(options.cwd, given);
  const text = readText(path, given);
  if (text.kind === 'error') return rejected([text.message]);
  return decodeConfig(text.text, { ...options, path, shownPath: given });
}

/** The text of a configuration, as if it stood in `path`. */
export function decodeConfig(
  text: string,
  options: LoadOptions & { readonly path: string; readonly shownPath: string },
): ConfigResult {
  const parsed = parseLocated(text, options.shownPath);
  if (parsed.kind === 'error') return rejected(parsed.problems.map(formatProblem));
  const { root } = parsed;
  const overlaid = [...overlayEnvironment(root, options.env), ...overlayFlags(root, options.flags)];
  const context = new DecodeContext((path, origin) => resolve(baseOf(origin, options), path));
  const values = CONFIG_FIELD.decode(root, context);
  const problems = [...context.problems, ...overlaid];
  if (values !== INVALID) {
    for (const { field, message } of crossProblems(values)) {
      problems.push({ origin: originOf(root, field), field: fieldText(field), message });
    }
  }
  if (values === INVALID || problems.length > 0) return rejected(inOrder(problems));
  return {
    kind: 'config',
    config: configOf(values, {
      path: options.path,
      coreCount: availableParallelism(),
      nodeName: nodeNameOf(options.env),
    }),
  };
}

/** Pods are told the name of their node by the downward API; elsewhere kubelet takes the host's name in lower case. */
function nodeNameOf(env: Environment): string {
  const given = env[NODE_NAME_VARIABLE] ?? '';
  return given === '' ? hostname().toLowerCase() : given;
}

function baseOf(origin: Origin, options: { readonly path: string; readonly cwd: string }): string {
  return origin.kind === 'file' ? dirname(options.path) : options.cwd;
}

type TextResult =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'error'; readonly message: string };

function readText(path: string, shownPath: string): TextResult {
  const bytesMax = LIMITS.configBytesMax.default;
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) return { kind: 'error', message: `${shownPath}: is a directory` };
    if (stat.size > bytesMax) {
      return { kind: 'error', message: `${shownPath}: is larger than ${bytesMax} bytes` };
    }
    return { kind: 'text', text: readFileSync(path, 'utf8') };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    const reason = code === 'ENOENT' ? 'no such file' : `cannot be read (${code})`;
    return { kind: 'error', message: `${shownPath}: ${reason}` };
  }
}

/** Where the field stands; where its nearest parent stands when it is a default. */
function originOf(root: Located, field: readonly (string | number)[]): Origin {
  let current = root;
  for (const step of field) {
    const { value } = current;
    const next: Located | undefined =
      value instanceof Map
        ? value.get(String(step))?.value
        : Array.isArray(value)
          ? (value as readonly Located[])[Number(step)]
          : undefined;
    if (next === undefined) return current.origin;
    current = next;
  }
  return current.origin;
}

function fieldText(field: readonly (string | number)[]): string {
  return field
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`))
    .join('')
    .replace(/^\./, '');
}

/** As they stand in the file, then the others. */
function inOrder(problems: readonly ConfigProblem[]): readonly string[] {
  const place = ({ origin }: ConfigProblem): number =>
    origin.kind === 'file' ? origin.line * 10_000 + Math.min(origin.column, 9_999) : Infinity;
  return [...problems]
    .sort((a, b) => (place(a) < place(b) ? -1 : place(a) > place(b) ? 1 : 0))
    .map(formatProblem);
}

function rejected(problems: readonly string[]): ConfigResult {
  return { kind: 'rejected', problems };
}
