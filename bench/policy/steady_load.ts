/** The steady client's other side: a process on the core of the loads, asked and told over its channel. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { pinned } from '../measure/pinning.ts';
import type { FromClient, ToClient, Told } from './steady_client.ts';

const CLIENT = fileURLToPath(new URL('./steady_client.ts', import.meta.url));
const REQUESTS_PER_SECOND = 1000;
const CONNECTION_COUNT = 8;
const ANSWER_TIMEOUT_MS = 60_000;

export class SteadyLoad {
  readonly #child: ChildProcess;

  constructor(port: number) {
    const numbers = [port, REQUESTS_PER_SECOND, CONNECTION_COUNT].map(String);
    const [program = '', ...args] = pinned('other', [process.execPath, CLIENT, ...numbers]);
    this.#child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  }

  /** Half of the requests from now on ask for `probe`; "": none. What was counted is forgotten. */
  watch(probe: string): void {
    this.#send({ kind: 'watch', probe });
  }

  /** When the probe is allowed for the first time. */
  allowed(): Promise<{ readonly atMs: number }> {
    return this.#answer('allowed');
  }

  /** What was seen since `watch`. */
  told(): Promise<Told> {
    const answer = this.#answer('told');
    this.#send({ kind: 'tell' });
    return answer;
  }

  /** The client ends when nobody listens to it. */
  stop(): void {
    if (this.#child.connected) this.#child.disconnect();
  }

  #send(message: ToClient): void {
    this.#child.send(message);
  }

  #answer<Kind extends FromClient['kind']>(
    kind: Kind,
  ): Promise<Extract<FromClient, { kind: Kind }>> {
    return new Promise((resolve, reject) => {
      const end = (finish: () => void): void => {
        clearTimeout(timer);
        this.#child.off('message', onMessage);
        this.#child.off('exit', onExit);
        finish();
      };
      const onMessage = (message: unknown): void => {
        if ((message as FromClient).kind !== kind) return;
        end(() => resolve(message as Extract<FromClient, { kind: Kind }>));
      };
      const onExit = (): void => end(() => reject(new Error('the steady client has ended')));
      const onTimeout = (): void =>
        end(() => reject(new Error(`the steady client does not say "${kind}"`)));
      const timer = setTimeout(onTimeout, ANSWER_TIMEOUT_MS);
      this.#child.on('message', onMessage);
      this.#child.on('exit', onExit);
    });
  }
}
