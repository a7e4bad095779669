/** What those who follow kinds of one API server have learnt of it. */
import type { Clock } from '../../platform/platform.ts';
import type { KubeClient } from '../client.ts';
import { ServedKinds } from './served_kinds.ts';

export class ApiServer {
  readonly kinds: ServedKinds;
  /** False: it has refused to tell, in a watch, what there is. */
  streamsLists = true;

  constructor(client: KubeClient, clock: Clock) {
    this.kinds = new ServedKinds(client, clock);
  }
}
