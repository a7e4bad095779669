/**
 * One request by node:http2 through a data plane whose upstream is the port of the URL that is given:
 * h2specd, which tests HTTP/2 clients, runs this once for each of its cases. How the request ends is
 * for h2specd to judge, from the other side.
 */
import { connect } from 'node:http2';
import { nodePlatform } from '../../src/platform/node_platform.ts';
import { startRig } from '../support/plane_rig.ts';

/** PING and GOAWAY that follow a response are still answered. */
const LINGER_MS = 300;
const GIVE_UP_MS = 4000;

const rig = await startRig({
  upstreamPort: Number(new URL(process.argv.at(-1) ?? '').port),
  platform: nodePlatform(),
});
const session = connect(`http://127.0.0.1:${rig.port}`);
const stop = (): void => {
  session.destroy();
  rig.stop();
};
const timer = setTimeout(stop, GIVE_UP_MS);
session.on('error', stop);
const stream = session.request({ ':path': '/' });
stream.on('error', () => {});
stream.resume();
stream.on('close', () => {
  clearTimeout(timer);
  setTimeout(stop, LINGER_MS);
});
