/** `sallyport service list`: what clients dial, and what is behind it. */

import { loadConfig } from '../../config/load.ts';
import { decodeEndpoints } from '../../control/decode/endpoints/endpoints.ts';
import { formatProblem } from '../../control/decode/problem.ts';
import { ServiceFrontends } from '../../control/service/service_frontends.ts';
import type { SourceText } from '../../control/source/files/source_bundle.ts';
import { formatSocketAddress } from '../../model/address.ts';
import { jsonDocument } from '../../model/json_document.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import type { ServiceBackend, ServiceFrontend } from '../../model/service_frontend.ts';
import { shownLine } from '../../model/shown_text.ts';
import { EMPTY_INVENTORY, type Inventory } from '../../policy/resolve/inventory.ts';
import type { Args } from '../args.ts';
import { EXIT_OK, type ExitCode, type Io, usageError } from '../io.ts';
import { yamlText } from '../terminal.ts';
import { textTable } from '../text_table.ts';
import { openConfiguredCluster } from './cluster.ts';
import { readConfiguredSources } from './configured_sources.ts';
import { readErrorText, readText } from './sources.ts';

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const [action = ''] = args.arguments;
  if (action !== 'list') return usageError(io, `service: "${action}" is none of list`);
  const found = await inventoryOf(args, io);
  if (found.kind === 'error') return usageError(io, `service list: ${found.message}`);
  // As any client meets them, on whichever node.
  const { frontends, problems } = new ServiceFrontends().update({ ...found.inventory, here: null });
  const namespace = args.value('namespace');
  const listed = frontends.filter(
    ({ service }) => namespace === null || service.startsWith(`${namespace}/`),
  );
  for (const problem of problems) io.stderr.write(`${shownLine(`sallyport: ${problem}`)}\n`);
  print(args, io, listed);
  return EXIT_OK;
}

type Found =
  | { readonly kind: 'inventory'; readonly inventory: Inventory }
  | { readonly kind: 'error'; readonly message: string };

async function inventoryOf(args: Args, io: Io): Promise<Found> {
  const places = ['config', 'kube', 'endpoints'].filter((name) => args.has(name));
  if (places.length !== 1 && places.join() !== 'config,kube') {
    return {
      kind: 'error',
      message: 'one of -c CONFIG, --kube and --endpoints FILE says of where',
    };
  }
  if (args.has('endpoints')) {
    try {
      return ofFile(await readText(args.value('endpoints'), io));
    } catch (error) {
      return { kind: 'error', message: readErrorText(error) };
    }
  }
  if (!args.has('config')) return ofCluster(args, io, null);
  const path = args.value('config');
  const loaded = loadConfig({ path, flags: [], env: io.env, cwd: io.cwd });
  if (loaded.kind === 'rejected') return { kind: 'error', message: loaded.problems.join('; ') };
  const { config } = loaded;
  if (config.kubernetes !== null) return ofCluster(args, io, config);
  if (args.has('kube')) {
    return { kind: 'error', message: `${config.path} has no field kubernetes` };
  }
  const { bundle, readProblems } = readConfiguredSources(config);
  if (readProblems.length > 0) return { kind: 'error', message: readProblems.join('; ') };
  return ofFile(bundle.endpoints);
}

function ofFile(text: SourceText | null): Found {
  if (text === null) return { kind: 'inventory', inventory: EMPTY_INVENTORY };
  const decoded = decodeEndpoints(text, DEFAULT_LIMITS);
  if (decoded.kind === 'ok') return { kind: 'inventory', inventory: decoded.inventory };
  return { kind: 'error', message: decoded.problems.map(formatProblem).join('; ') };
}

async function ofCluster(
  args: Args,
  io: Io,
  config: Parameters<typeof openConfiguredCluster>[2]['config'],
): Promise<Found> {
  const opened = await openConfiguredCluster(args, io, { config, secrets: null });
  if (opened.kind === 'error') return opened;
  return { kind: 'inventory', inventory: opened.judged.input.inventory };
}

const BACKENDS_SHOWN_MAX = 3;

function print(args: Args, io: Io, frontends: readonly ServiceFrontend[]): void {
  const format = args.value('output') ?? 'table';
  if (format === 'table') {
    const rows = frontends.map((one) => [
      one.service,
      one.portName === '' ? '-' : one.portName,
      one.kind,
      `${dialledText(one)}/${one.protocol}`,
      backendsText(one.backends),
    ]);
    const table = textTable(['SERVICE', 'PORT', 'KIND', 'DIALLED', 'BACKENDS'], rows);
    io.stdout.write(shownTable(table));
    return;
  }
  const value = jsonDocument('Services', { services: frontends.map(frontendValue) });
  io.stdout.write(format === 'json' ? `${JSON.stringify(value, null, 2)}\n` : yamlText(value));
}

/** Names are those of others. */
function shownTable(table: string): string {
  return table.split('\n').map(shownLine).join('\n');
}

function frontendValue(one: ServiceFrontend): object {
  const { service, portName, kind, protocol, family, address, port } = one;
  return {
    ...{ service, portName, frontend: kind, protocol, family },
    ...{ address: address?.text ?? null, port },
    sessionAffinityMs: one.affinityMs,
    consistentHashing: one.isConsistentlyHashed,
    backends: one.backends.map(({ address: at, port: to, nodeName }) => ({
      ...{ address: at.text, port: to },
      ...(nodeName === '' ? {} : { node: nodeName }),
    })),
  };
}

function dialledText({ address, family, port }: ServiceFrontend): string {
  return address === null
    ? `node, IPv${family}, :${port}`
    : formatSocketAddress(address.text, port);
}

function backendsText(backends: readonly ServiceBackend[]): string {
  if (backends.length === 0) return 'none: refused at once';
  const shown = backends
    .slice(0, BACKENDS_SHOWN_MAX)
    .map(({ address, port }) => formatSocketAddress(address.text, port))
    .join(', ');
  const more = backends.length - BACKENDS_SHOWN_MAX;
  return more > 0 ? `${shown} and ${more} more` : shown;
}
