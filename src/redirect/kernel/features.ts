/** What the redirect needs of a kernel, told in words before an EINVAL tells it in none. */
import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';

const BTF = '/sys/kernel/btf/vmlinux';
const STATUS = '/proc/self/status';

const CAPABILITIES = [
  { bit: 12, name: 'CAP_NET_ADMIN', why: 'to attach programs to interfaces' },
  { bit: 38, name: 'CAP_PERFMON', why: 'for programs that read packets by computed offsets' },
  { bit: 39, name: 'CAP_BPF', why: 'to load programs and make maps' },
];

/** Empty: nothing is known to be missing. */
export function missingFeatures(kernelRelease: string = release()): string[] {
  const missing: string[] = [];
  const [major = 0, minor = 0] = kernelRelease.split(/[.-]/).map(Number);
  if (major < 6 || (major === 6 && minor < 6))
    missing.push(
      `Linux ${kernelRelease} has no tcx (BPF programs on interfaces that can be replaced in one step): 6.6 or newer is needed`,
    );
  if (!existsSync(BTF))
    missing.push(`the kernel has no type information (${BTF}; CONFIG_DEBUG_INFO_BTF)`);
  for (const { name, why } of missingCapabilities()) missing.push(`${name} is missing, ${why}`);
  return missing;
}

function missingCapabilities(): { readonly name: string; readonly why: string }[] {
  const held = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync(STATUS, 'utf8'))?.[1];
  if (held === undefined) return [];
  const bits = BigInt(`0x${held}`);
  const isAdmin = ((bits >> 21n) & 1n) === 1n;
  return CAPABILITIES.filter(
    ({ bit, name }) =>
      ((bits >> BigInt(bit)) & 1n) === 0n && !(isAdmin && name !== 'CAP_NET_ADMIN'),
  );
}
