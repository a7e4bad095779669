/** Where pins can be: /sys/fs/bpf is mounted when it is not; any other place is the user's to mount. */
import { dirname } from 'node:path';
import { isOnBpffs, mountBpffs } from '../kernel/bpffs.ts';

const SYS_BPF = '/sys/fs/bpf';

export type BpffsResult =
  | { readonly kind: 'ready'; readonly isMountedNow: boolean }
  | { readonly kind: 'error'; readonly message: string };

export function ensureBpffs(root: string): BpffsResult {
  if (isOnBpffs(root)) return { kind: 'ready', isMountedNow: false };
  if (!root.startsWith(`${SYS_BPF}/`)) {
    const message = `${dirname(root)} is no bpffs: mount one there (mount -t bpf bpf ${dirname(root)}) or let redirect.root be ${SYS_BPF}/sallyport`;
    return { kind: 'error', message };
  }
  try {
    mountBpffs(SYS_BPF);
    return { kind: 'ready', isMountedNow: true };
  } catch (error) {
    const because = error instanceof Error ? error.message.trim().split('\n').at(-1) : 'unknown';
    return { kind: 'error', message: `cannot mount a bpffs at ${SYS_BPF}: ${because}` };
  }
}
