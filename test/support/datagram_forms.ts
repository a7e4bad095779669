/** Both forms of datagrams: what holds of one holds of the other. */
import { type Datagrams, PLAIN_DATAGRAMS } from '../../src/platform/datagrams.ts';
import { nativeDatagrams } from '../../src/platform/native/native_datagrams.ts';
import { nodePlatform } from '../../src/platform/node_platform.ts';

export const NATIVE_DATAGRAMS: Datagrams = nativeDatagrams({
  platform: nodePlatform(),
  answerMark: 0,
  onBound: () => {},
});

export const DATAGRAM_FORMS: readonly (readonly [string, Datagrams])[] = [
  ['plain', PLAIN_DATAGRAMS],
  ['native', NATIVE_DATAGRAMS],
];
