/** A pod's containers under runc, on the node of a rig: started, probed, and ended as kubelet does it. */
import { chmodSync, copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, type RedirectRig } from '../redirect/root/rig.ts';
import { type Container, type SeccompProfile, writeBundle } from './oci.ts';
import { must, run } from './tools.ts';

export interface World {
  readonly rig: RedirectRig;
  readonly rootfs: string;
  readonly seccomp: SeccompProfile;
  /** Of the DaemonSet, by name. */
  readonly containers: ReadonlyMap<string, Container>;
  readonly supplementalGroups: readonly number[];
  readonly work: string;
  /** Folders that stand for ConfigMaps. */
  readonly config: string;
  readonly endpoints: string;
}

type Probe = 'startupProbe' | 'livenessProbe' | 'readinessProbe';

const PLAIN_CONFIG = `policies: [policies.yaml]
endpoints: endpoints.yaml
listeners:
  - name: plain
    address: 127.0.0.1:15006
    direction: ingress
    destination: 10.20.0.1:8080
    upstream: 127.0.0.1:9001
    identity: 43
`;

const PLAIN_ENDPOINTS = `endpoints:
  - { name: shop/orders, ip: 10.20.0.1, labels: { app: orders } }
  - { name: shop/web, ip: 10.20.0.2, labels: { app: web }, identity: 43 }
`;

export class PodUnderTest {
  readonly #world: World;
  readonly #name: string;
  readonly #folder: string;
  readonly #volumes: ReadonlyMap<string, string>;
  readonly #running = new Map<string, Command>();

  constructor(world: World, name: string) {
    this.#world = world;
    this.#name = name;
    this.#folder = join(world.work, `pod-${name}`);
    const folder = (of: string): string => {
      const path = join(this.#folder, of);
      mkdirSync(path, { recursive: true });
      return path;
    };
    const admin = folder('admin');
    // An emptyDir is everybody's.
    chmodSync(admin, 0o777);
    this.#volumes = new Map([
      ['config', world.config],
      ['policies', join(world.rig.dir, 'policies')],
      ['endpoints', world.endpoints],
      ['admin', admin],
      ['pins', join(world.rig.dir, 'bpf/sallyport')],
      ['state', folder('state')],
      ['tcp-migrate-req', '/proc/sys/net/ipv4/tcp_migrate_req'],
      ['plain', this.#plainFolder(folder('plain'))],
      ['caps', this.#capsFolder(folder('caps'))],
    ]);
  }

  /** Runs a container in the foreground of runc; what it prints is its log. */
  async start(name: string, container: Container): Promise<Command> {
    const bundle = join(this.#folder, `bundle-${name}`);
    const mounts = container.volumeMounts ?? [];
    const withCaps = container.command[0]?.startsWith('/caps/') === true;
    writeBundle(
      bundle,
      withCaps
        ? { ...container, volumeMounts: [...mounts, { name: 'caps', mountPath: '/caps' }] }
        : container,
      {
        rootfs: this.#world.rootfs,
        volumes: this.#volumes,
        seccomp: this.#world.seccomp,
        supplementalGroups: this.#world.supplementalGroups,
        // Kubelet puts the node's name in.
        env: {
          SALLYPORT_ENDPOINTS: '/etc/sallyport/endpoints/node-a.yaml',
          ...this.#ownEndpoints(container),
        },
      },
    );
    const command = ['runc', ...this.#runcRoot, 'run', '--bundle', bundle, this.#id(name)];
    const started = new Command(this.#world.rig.node.command(command));
    this.#running.set(name, started);
    return started;
  }

  async runToEnd(name: string, container: Container): Promise<{ code: number; output: string }> {
    const started = await this.start(name, container);
    const code = await started.ended;
    this.#running.delete(name);
    run(['runc', ...this.#runcRoot, 'delete', '--force', this.#id(name)]);
    return { code, output: started.output };
  }

  /** Paths below the node's folder for state. */
  stateFiles(): readonly string[] {
    return readdirSync(join(this.#folder, 'state'), { recursive: true }).map(String).sort();
  }

  /** The exit code of a probe's command, in the container, with the container's rights. */
  probe(name: string, probe: Probe): number {
    const container = this.#world.containers.get(name) as unknown as Record<
      Probe,
      { readonly exec: { readonly command: readonly string[] } }
    >;
    return this.#exec(name, container[probe].exec.command);
  }

  signal(name: string, signal: string): void {
    run(['runc', ...this.#runcRoot, 'kill', this.#id(name), signal]);
  }

  /** preStop and SIGTERM of the containers, then of the sidecar. The exit code of the proxy. */
  async stop(): Promise<number> {
    const container = this.#world.containers.get('proxy') as unknown as {
      readonly lifecycle: {
        readonly preStop: { readonly exec: { readonly command: readonly string[] } };
      };
    };
    // Its own code is no matter: the container may end, and the hook with it, before it has answered.
    this.#exec('proxy', container.lifecycle.preStop.exec.command);
    const code = await this.#end('proxy');
    await this.#end('metrics');
    await this.#end('datapath');
    return code;
  }

  /** SIGKILL; resolves when the container is gone. */
  async kill(name: string): Promise<void> {
    this.signal(name, 'KILL');
    await this.#running.get(name)?.ended;
    this.#running.delete(name);
  }

  async dispose(): Promise<void> {
    for (const name of [...this.#running.keys()]) {
      run(['runc', ...this.#runcRoot, 'delete', '--force', this.#id(name)]);
      await this.#running.get(name)?.ended;
      this.#running.delete(name);
    }
  }

  get #runcRoot(): readonly string[] {
    return ['--root', join(this.#world.work, 'runc')];
  }

  #id(name: string): string {
    return `sallyport-${process.pid}-${this.#name}-${name}`;
  }

  #exec(name: string, command: readonly string[]): number {
    return run(['runc', ...this.#runcRoot, 'exec', this.#id(name), ...command]).code;
  }

  async #end(name: string): Promise<number> {
    const running = this.#running.get(name);
    if (running === undefined) return 0;
    this.signal(name, 'TERM');
    const code = await running.ended;
    this.#running.delete(name);
    return code;
  }

  /** The plain one has its own files. */
  #ownEndpoints(container: Container): Readonly<Record<string, string>> {
    return container.name === 'plain' ? { SALLYPORT_ENDPOINTS: '/plain/endpoints.yaml' } : {};
  }

  #plainFolder(folder: string): string {
    writeFileSync(join(folder, 'config.yaml'), PLAIN_CONFIG);
    writeFileSync(join(folder, 'endpoints.yaml'), PLAIN_ENDPOINTS);
    copyFileSync(join(this.#world.rig.dir, 'policies/all.yaml'), join(folder, 'policies.yaml'));
    return folder;
  }

  /** A program with file capabilities. */
  #capsFolder(folder: string): string {
    copyFileSync(join(this.#world.rootfs, 'usr/bin/grep'), join(folder, 'grep'));
    chmodSync(join(folder, 'grep'), 0o755);
    must(['setcap', 'cap_net_raw+ep', join(folder, 'grep')]);
    return folder;
  }
}
