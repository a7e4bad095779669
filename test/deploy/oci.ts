/**
 * A container of a pod as a runtime's bundle: what kubelet and containerd make of a container's
 * securityContext, mounts and command, for pods on the host's network. With it the containers of the
 * manifests run under runc with the rights that a node would give them.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Container {
  readonly name: string;
  readonly command: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly securityContext: {
    readonly runAsUser: number;
    readonly runAsGroup: number;
    readonly allowPrivilegeEscalation: boolean;
    readonly readOnlyRootFilesystem: boolean;
    readonly capabilities: { readonly drop: readonly string[]; readonly add?: readonly string[] };
  };
  readonly volumeMounts?: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly subPath?: string;
    readonly readOnly?: boolean;
  }[];
}

export interface BundleOptions {
  readonly rootfs: string;
  /** Volume name → where it is on this machine. */
  readonly volumes: ReadonlyMap<string, string>;
  readonly seccomp: SeccompProfile;
  /** Of the pod. */
  readonly supplementalGroups: readonly number[];
  readonly env?: Readonly<Record<string, string>>;
}

/** The form in which Docker and containerd write their default profile. */
export interface SeccompProfile {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly archMap?: readonly {
    readonly architecture: string;
    readonly subArchitectures: readonly string[] | null;
  }[];
  readonly syscalls: readonly {
    readonly names: readonly string[];
    readonly action: string;
    readonly args?: readonly unknown[] | null;
    readonly errnoRet?: number;
    readonly includes?: Condition;
    readonly excludes?: Condition;
  }[];
}

interface Condition {
  readonly caps?: readonly string[];
  readonly arches?: readonly string[];
  readonly minKernel?: string;
}

/** Go's names of machines, which the profile has. */
const ARCHES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
const SCMP: Readonly<Record<string, string>> = {
  x64: 'SCMP_ARCH_X86_64',
  arm64: 'SCMP_ARCH_AARCH64',
};

export function writeBundle(folder: string, container: Container, options: BundleOptions): void {
  mkdirSync(folder, { recursive: true });
  const { securityContext } = container;
  const capabilities = (securityContext.capabilities.add ?? []).map((name) => `CAP_${name}`);
  const isRoot = securityContext.runAsUser === 0;
  // Of a user who is not root the runtime fills no set but the bounding one, at exec the kernel empties
  // the others; no ambient set is ever asked for.
  const held = isRoot ? capabilities : [];
  const env = {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ...Object.fromEntries((container.env ?? []).map(({ name, value }) => [name, value ?? ''])),
    ...options.env,
  };
  const spec = {
    ociVersion: '1.0.2',
    process: {
      user: {
        uid: securityContext.runAsUser,
        gid: securityContext.runAsGroup,
        additionalGids: options.supplementalGroups,
      },
      args: [...container.command, ...(container.args ?? [])],
      env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
      cwd: '/opt/sallyport',
      capabilities: { bounding: capabilities, effective: held, permitted: held },
      noNewPrivileges: !securityContext.allowPrivilegeEscalation,
    },
    root: { path: options.rootfs, readonly: securityContext.readOnlyRootFilesystem },
    mounts: [...SYSTEM_MOUNTS, ...volumeMounts(container, options.volumes)],
    linux: {
      namespaces: ['pid', 'ipc', 'mount'].map((type) => ({ type })),
      seccomp: seccompFor(options.seccomp, capabilities),
      maskedPaths: ['/proc/acpi', '/proc/kcore', '/proc/keys', '/proc/timer_list', '/sys/firmware'],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(spec, null, 1));
}

const SYSTEM_MOUNTS = [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
  { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev'] },
  {
    destination: '/sys',
    type: 'sysfs',
    source: 'sysfs',
    options: ['nosuid', 'noexec', 'nodev', 'ro'],
  },
];

function volumeMounts(container: Container, volumes: ReadonlyMap<string, string>): unknown[] {
  return (container.volumeMounts ?? []).map(({ name, mountPath, subPath, readOnly }) => {
    const source = volumes.get(name);
    if (source === undefined) throw new Error(`${container.name}: no volume ${name}`);
    return {
      destination: mountPath,
      type: 'bind',
      source: subPath === undefined ? source : join(source, subPath),
      options: ['rbind', 'rprivate', readOnly === true ? 'ro' : 'rw'],
    };
  });
}

/** As the runtimes do it: the capabilities of the container decide which rules are in its profile. */
function seccompFor(profile: SeccompProfile, capabilities: readonly string[]): unknown {
  const arch = ARCHES[process.arch] ?? '';
  const name = SCMP[process.arch] ?? '';
  const sub = profile.archMap?.find(({ architecture }) => architecture === name)?.subArchitectures;
  return {
    defaultAction: profile.defaultAction,
    defaultErrnoRet: profile.defaultErrnoRet,
    architectures: [name, ...(sub ?? [])],
    syscalls: profile.syscalls
      .filter(({ includes = {}, excludes = {} }) => {
        const isLeftOut =
          excludes.caps?.some((one) => capabilities.includes(one)) === true ||
          excludes.arches?.includes(arch) === true;
        return (
          !isLeftOut &&
          (includes.caps ?? []).every((one) => capabilities.includes(one)) &&
          (includes.arches === undefined || includes.arches.includes(arch))
        );
      })
      .map(({ names, action, args, errnoRet }) => ({
        names,
        action,
        ...(args ? { args } : {}),
        ...(errnoRet === undefined ? {} : { errnoRet }),
      })),
  };
}
