/** What the supervisor and the thread that serves clients of Hubble tell each other. */
import type { ExportCounts } from '../hubble/export/exporters.ts';
import type { HubbleServeSettings } from '../model/hubble_settings.ts';
import type { Limits } from '../model/limits.ts';
import type { HubbleOutput } from './hubble_sinks.ts';

export interface HubbleThreadData {
  readonly settings: HubbleServeSettings;
  readonly output: HubbleOutput;
  readonly limits: Limits;
  readonly version: string;
}

export type ToHubbleThread =
  | { readonly kind: 'flows'; readonly bytes: Uint8Array }
  /** So many flows were left out here. */
  | { readonly kind: 'lost'; readonly count: number }
  | { readonly kind: 'stop' };

export type FromHubbleThread =
  | { readonly kind: 'listening'; readonly addresses: readonly string[] }
  | { readonly kind: 'problem'; readonly problem: string }
  | { readonly kind: 'error'; readonly message: string }
  | { readonly kind: 'exported'; readonly counts: ExportCounts }
  /** Bytes of batches that no longer wait. */
  | { readonly kind: 'taken'; readonly byteLength: number };
