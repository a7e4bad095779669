/** What those who follow kinds of one API server have learnt of it. */
import type { Platform } from '../../platform/platform.ts';
import type { KubeClient } from '../client.ts';
import { Outage } from './outage.ts';
import { ServedKinds } from './served_kinds.ts';

export class ApiServer {
  readonly kinds: ServedKinds;
  readonly outage: Outage;
  /** False: it has refused to tell, in a watch, what there is. */
  streamsLists = true;

  constructor(client: KubeClient, platform: Pick<Platform, 'clock' | 'timers'>) {
    this.kinds = new ServedKinds(client, platform.clock);
    this.outage = new Outage(client, platform);
  }
}
