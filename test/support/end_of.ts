/**
 * How a connection ends that may be over before its opener hears that it was open: a reset can overtake
 * the news of the connection.
 */
import { connect } from 'node:net';

export interface Ending {
  readonly text: string;
  readonly how: 'fin' | 'reset';
}

export function endOf(
  port: number,
  options: { readonly bytes?: string; readonly localAddress?: string } = {},
): Promise<Ending> {
  const { bytes, localAddress } = options;
  return new Promise((resolve) => {
    let text = '';
    const finish = (how: Ending['how']): void => {
      socket.destroy();
      resolve({ text, how });
    };
    const socket = connect({
      host: '127.0.0.1',
      port,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    socket.on('end', () => finish('fin'));
    socket.on('error', () => finish('reset'));
    if (bytes !== undefined) socket.write(Buffer.from(bytes, 'latin1'));
  });
}
