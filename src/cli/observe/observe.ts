/** `sallyport observe`: flows of a server or of a file, as `hubble observe` shows them, and why they went as they did. */

import { compileFilters } from '../../hubble/filter/filters.ts';
import { compileFieldMask } from '../../hubble/flow/field_mask.ts';
import { messageJson } from '../../hubble/flow/flow_json.ts';
import { type Flow, FlowFilterSchema } from '../../hubble/generated/flow/flow_pb.ts';
import {
  type GetFlowsRequest,
  type GetFlowsResponse,
  GetFlowsResponseSchema,
} from '../../hubble/generated/observer/observer_pb.ts';
import { FlowPrinter, type PrintForm } from '../../hubble/print/flow_printer.ts';
import type { TimeFormat } from '../../hubble/print/time_text.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import { shownLine } from '../../model/shown_text.ts';
import { searchCompiler } from '../../regex/search.ts';
import type { Args } from '../args.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io, usageError } from '../io.ts';
import { paint } from '../terminal.ts';
import { type Choice, isChosen, whyLines } from './deciders.ts';
import { flowLines } from './flow_lines.ts';
import { hasOwnChoice, observeRequest } from './observe_request.ts';
import { Selection } from './selection.ts';
import { serverOptions } from './server_flags.ts';

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const asked = observeRequest(args, DEFAULT_LIMITS, Date.now());
  if (asked.kind === 'error') return usageError(io, `observe: ${asked.message}`);
  const { request } = asked;
  if (args.has('print-raw-filters')) {
    io.stdout.write(rawFilters(request));
    return EXIT_OK;
  }
  const isTable = formOf(args) === 'table';
  if (isTable && request.follow) {
    return usageError(io, 'observe: a table has an end; give --follow or -o table, not both');
  }
  const file = args.value('input-file');
  return file === null
    ? observeServer(args, io, request)
    : observeFile(args, io, { request, file });
}

async function observeFile(
  args: Args,
  io: Io,
  { request, file }: { readonly request: GetFlowsRequest; readonly file: string },
): Promise<ExitCode> {
  const filters = compileFilters(request, searchCompiler(DEFAULT_LIMITS));
  if (filters.kind === 'error') return usageError(io, `observe: ${filters.message}`);
  // All of a flow is there already; what users name is told, and what lines need is not said here.
  const isMasked = args.has('field-mask');
  const mask = compileFieldMask(isMasked ? (request.fieldMask?.paths ?? []) : []);
  if (mask.kind === 'error') return usageError(io, `observe: ${mask.message}`);
  const choice = choiceOf(args);
  const view = new View(args, io);
  const selection = new Selection(
    request,
    (flow) => filters.passes(flow) && isChosen(flow, choice),
  );
  let unreadableCount = 0;
  try {
    for await (const line of flowLines(file, io)) {
      if (line.kind === 'unreadable') unreadableCount++;
      else
        for (const response of selection.take(line.response))
          view.show(masked(response, mask.apply));
      if (selection.isOver) break;
    }
  } catch (error) {
    return failed(io, file, error);
  }
  for (const response of selection.rest()) view.show(masked(response, mask.apply));
  view.end();
  if (unreadableCount === 0) return EXIT_OK;
  io.stderr.write(
    `sallyport: observe: ${shownLine(file)}: ${unreadableCount} lines are no flows\n`,
  );
  return EXIT_OK;
}

async function observeServer(args: Args, io: Io, request: GetFlowsRequest): Promise<ExitCode> {
  const options = serverOptions(args, io);
  if (options.kind === 'error') return usageError(io, `observe: ${options.message}`);
  const choice = choiceOf(args);
  const view = new View(args, io);
  // What the server cannot choose by is chosen here, of all that it has.
  const selection = new Selection(request, (flow) => isChosen(flow, choice));
  const sent =
    hasOwnChoice(args) && !request.follow ? { ...request, number: 0n, first: false } : request;
  // A client of gRPC is loaded when a server is asked.
  const { getFlows } = await import('./flow_server.ts');
  try {
    const call = await getFlows(sent, options.server);
    const stop = (): void => call.cancel();
    process.once('SIGINT', stop);
    try {
      for await (const response of call.responses) {
        const isAsItIs = !hasOwnChoice(args);
        const shown = isAsItIs ? [response] : selection.take(response);
        for (const one of shown) view.show(one);
        if (selection.isOver) break;
      }
    } finally {
      process.off('SIGINT', stop);
      call.cancel();
      call.close();
    }
  } catch (error) {
    if (!isCancelled(error)) return failed(io, options.server.address, error);
  }
  for (const response of selection.rest()) view.show(response);
  view.end();
  return EXIT_OK;
}

/** Prints what is to be seen. */
class View {
  readonly #io: Io;
  readonly #isSilent: boolean;
  readonly #printer: FlowPrinter;

  constructor(args: Args, io: Io) {
    const hasColour = colourOf(args, io);
    this.#io = io;
    this.#isSilent = args.has('silent-errors');
    this.#printer = new FlowPrinter({
      form: formOf(args),
      timeFormat: (args.value('time-format') ?? 'StampMilli') as TimeFormat,
      isTranslated: !args.has('numeric') && args.value('ip-translation') !== 'false',
      hasNode: args.has('print-node-name'),
      hasPolicies: args.has('print-policy-names'),
      isDebug: args.has('debug'),
      paint: (colour, text) => paint({ hasColour }, colour, text),
      jsonOf: (response) => JSON.stringify(messageJson(GetFlowsResponseSchema, response)),
      details: args.has('why') ? whyLines : () => [],
    });
  }

  show(response: GetFlowsResponse): void {
    const { out, error } = this.#printer.print(response);
    if (out !== '') this.#io.stdout.write(out);
    if (error !== '' && !this.#isSilent) this.#io.stderr.write(error);
  }

  end(): void {
    this.#io.stdout.write(this.#printer.end());
  }
}

function formOf(args: Args): PrintForm {
  switch (args.value('output')) {
    case 'dict':
      return 'dict';
    case 'table':
    case 'tab':
      return 'table';
    case 'json':
    case 'jsonpb':
      return 'json';
    default:
      return 'compact';
  }
}

function colourOf(args: Args, io: Io): boolean {
  switch (args.value('color')) {
    case 'always':
      return true;
    case 'never':
      return false;
    default:
      return io.hasColour;
  }
}

function choiceOf(args: Args): Choice {
  return {
    policies: args.values('policy'),
    rules: args.values('rule'),
    isDeniedInDryRun: args.has('would-deny'),
  };
}

function rawFilters({ whitelist, blacklist }: GetFlowsRequest): string {
  const list = (name: string, filters: GetFlowsRequest['whitelist']): string[] => {
    if (filters.length === 0) return [];
    const lines = filters.map((one) => JSON.stringify(messageJson(FlowFilterSchema, one)));
    return [`${name}:`, ...lines.map((json) => `    - '${json.replaceAll("'", "''")}'`)];
  };
  return [...list('allowlist', whitelist), ...list('denylist', blacklist)]
    .map((line) => `${line}\n`)
    .join('');
}

function masked(response: GetFlowsResponse, apply: (flow: Flow) => Flow): GetFlowsResponse {
  const { responseTypes } = response;
  if (responseTypes.case !== 'flow') return response;
  return { ...response, responseTypes: { case: 'flow', value: apply(responseTypes.value) } };
}

const CANCELLED = 1;

function isCancelled(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === CANCELLED;
}

function failed(io: Io, from: string, error: unknown): ExitCode {
  const details = error instanceof Error && 'details' in error ? error.details : undefined;
  const message = details ?? (error instanceof Error ? error.message : error);
  io.stderr.write(`sallyport: observe: ${shownLine(`${from}: ${String(message)}`)}\n`);
  return EXIT_NEGATIVE;
}
