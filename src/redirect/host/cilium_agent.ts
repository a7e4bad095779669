/**
 * Whether Cilium's agent runs on this node, by what can be seen of it from where we are. A pod sees neither the
 * processes nor all files of its node, so there is more than one sign. What an agent leaves behind (pins, an interface,
 * a socket that nobody answers) is no sign that it runs.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { connect, type NetConnectOpts } from 'node:net';
import { join } from 'node:path';

export interface AgentPlaces {
  /** The agent's folder for its state: "/var/run/cilium". */
  readonly stateFolder: string;
  /** The bpffs on which it pins its maps. */
  readonly bpffs: string;
  readonly procFolder: string;
  /** One folder an interface of this network namespace. */
  readonly netFolder: string;
  /** Of loopback, where it answers health checks. */
  readonly healthPort: number;
}

export interface AgentFound {
  /** Signs that it runs, in plain words; none: it does not, as far as can be seen. */
  readonly running: readonly string[];
  /** What one that does not run has left. */
  readonly leftovers: readonly string[];
}

export const NODE_PLACES: Omit<AgentPlaces, 'stateFolder' | 'bpffs'> = {
  procFolder: '/proc',
  netFolder: '/sys/class/net',
  healthPort: 9879,
};

const CONNECT_MS = 1000;
const HOST_INTERFACE = 'cilium_host';
const AGENT_COMMAND = 'cilium-agent';

export async function findAgent(places: AgentPlaces): Promise<AgentFound> {
  const socketPath = join(places.stateFolder, 'cilium.sock');
  const [isSocketAnswered, isHealthAnswered] = await Promise.all([
    existsSync(socketPath) ? answers({ path: socketPath }) : false,
    answers({ host: '127.0.0.1', port: places.healthPort }),
  ]);
  const hasInterface = existsSync(join(places.netFolder, HOST_INTERFACE));
  const process = agentProcess(places);
  const running: string[] = [];
  if (isSocketAnswered) running.push(`its API answers at ${socketPath}`);
  if (process !== null) running.push(`its process ${process} runs`);
  // Anybody may listen on a port, and an interface stays when the agent has gone.
  if (isHealthAnswered && hasInterface) {
    running.push(
      `port ${places.healthPort} of loopback answers and interface ${HOST_INTERFACE} is there`,
    );
  }
  const pinCount = agentPins(places.bpffs);
  const leftovers: string[] = [];
  if (pinCount > 0) leftovers.push(`${pinCount} pins below ${places.bpffs}`);
  if (hasInterface) leftovers.push(`interface ${HOST_INTERFACE}`);
  if (!isSocketAnswered && existsSync(socketPath)) {
    leftovers.push(`${socketPath}, where nobody answers`);
  }
  return { running, leftovers };
}

function answers(address: NetConnectOpts): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ ...address, timeout: CONNECT_MS });
    const end = (isAnswered: boolean): void => {
      socket.destroy();
      resolve(isAnswered);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(false));
  });
}

/** The number in its file, when a process of that number is an agent; null: none is seen. */
function agentProcess({ stateFolder, procFolder }: AgentPlaces): number | null {
  try {
    const pid = Number(readFileSync(join(stateFolder, 'cilium.pid'), 'utf8').trim());
    if (!Number.isInteger(pid) || pid <= 0) return null;
    const command = readFileSync(join(procFolder, String(pid), 'cmdline'), 'utf8');
    const [program = ''] = command.split('\0');
    return program.split('/').at(-1) === AGENT_COMMAND ? pid : null;
  } catch {
    return null;
  }
}

/** Its maps, and its links to interfaces. */
function agentPins(bpffs: string): number {
  const maps = namesIn(join(bpffs, 'tc', 'globals')).filter((name) => name.startsWith('cilium_'));
  return maps.length + namesIn(join(bpffs, 'cilium')).length;
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
