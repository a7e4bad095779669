/** Loading, taking up again, replacing, removing; and who may touch what is pinned. */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPin, readInfo } from '../../../src/redirect/kernel/bpf.ts';
import { openDatapath, removeDatapath } from '../../../src/redirect/kernel/datapath.ts';
import { missingFeatures } from '../../../src/redirect/kernel/features.ts';
import { openPinnedMap, sockmapUpdate } from '../../../src/redirect/kernel/pinned.ts';
import {
  encodeVerdict,
  encodeVerdictKey,
  LAYOUT_VERSION,
  VERDICT_ALLOW,
} from '../../../src/redirect/layout.ts';
import { Netns } from '../root/netns.ts';
import { Lab, OBJECT } from './lab.ts';

const PINNED = pathToFileURL(join(import.meta.dirname, '../../../src/redirect/kernel/pinned.ts'));

let lab: Lab;
let pod: Netns;
let ifindex: number;

beforeAll(() => {
  lab = new Lab('loader');
  pod = new Netns('spA-loader-pod');
  ifindex = lab.addInterface('lxc0', pod);
});
afterAll(() => {
  pod.dispose();
  lab.dispose();
});

const open = () => lab.inside(() => openDatapath({ root: lab.root, objectPath: OBJECT }));
const verdictKey = (identity: number): Buffer => encodeVerdictKey(1, 1, identity as never);

describe('a second start', () => {
  it('finds the maps with what was in them, and the links attached', () => {
    lab.datapath.maps.verdicts.update(verdictKey(77), encodeVerdict(VERDICT_ALLOW));
    lab.inside(() => {
      lab.datapath.attachInterface(ifindex);
      lab.datapath.attachLookup(lab.node.path);
    });
    const second = open();
    expect(second.isReused).toBe(true);
    expect(second.maps.verdicts.lookup(verdictKey(77))).toEqual(encodeVerdict(VERDICT_ALLOW));
    expect(second.attachedInterfaces()).toEqual([ifindex]);
    second.close();
  });

  it('puts its programs into the links that are there', () => {
    const before = programOfLink();
    const second = open();
    lab.inside(() => second.attachInterface(ifindex));
    lab.inside(() => second.attachLookup(lab.node.path));
    expect(programOfLink()).not.toBe(before);
    expect(programOfLink()).toBe(
      second.programs().find(({ name }) => name === 'from_interface')?.id,
    );
    second.close();
  });

  /** What the kernel says about the link: struct bpf_link_info has type, id, prog_id. */
  function programOfLink(): number {
    const fd = openPin(join(lab.root, `v${LAYOUT_VERSION}/links`, `tcx_ingress_${ifindex}`));
    const program = readInfo(fd, 16).readUInt32LE(8);
    closeSync(fd);
    return program;
  }

  it('an interface that was made anew under its number is attached anew', () => {
    const again = new Netns('spA-loader-again');
    lab.node.ip(`link add name lxc9 index 900 type veth peer name eth0 netns ${again.name}`);
    lab.inside(() => lab.datapath.attachInterface(900));
    lab.node.ip('link del lxc9');
    lab.node.ip(`link add name lxc9 index 900 type veth peer name eth0 netns ${again.name}`);
    lab.inside(() => lab.datapath.attachInterface(900));
    expect(lab.datapath.attachedInterfaces()).toContain(900);
    expect(lab.datapath.detachInterface(900)).toBe(true);
    expect(lab.datapath.detachInterface(900)).toBe(false);
    again.dispose();
  });

  it('links of another layout are taken over, and its folder goes last', () => {
    const older = join(lab.root, 'v0');
    execFileSync('mkdir', ['-p', join(older, 'links'), join(older, 'maps')]);
    const link = join(older, 'links', `tcx_ingress_${ifindex}`);
    execFileSync('mv', [
      join(lab.root, `v${LAYOUT_VERSION}/links`, `tcx_ingress_${ifindex}`),
      link,
    ]);
    const second = open();
    lab.inside(() => second.attachInterface(ifindex));
    expect(existsSync(link)).toBe(false);
    expect(second.attachedInterfaces()).toEqual([ifindex]);
    expect(existsSync(older)).toBe(true);
    second.commit();
    expect(readdirSync(lab.root)).toEqual([`v${LAYOUT_VERSION}`]);
    second.close();
  });
});

describe('maps', () => {
  it('take many entries at once, and tell them', () => {
    const { verdicts } = lab.datapath.maps;
    const keys = Array.from({ length: 10_000 }, (_, i) => encodeVerdictKey(9, 9, i as never));
    verdicts.updateMany(keys.map((key) => [key, encodeVerdict(VERDICT_ALLOW)]));
    const found = [...verdicts.entries()].filter(([key]) => key.readUInt32LE(0) === 9);
    expect(found.length).toBe(10_000);
    verdicts.deleteMany(keys);
    expect([...verdicts.keys()].filter((key) => key.readUInt32LE(0) === 9)).toEqual([]);
  });

  it.each([
    ['a table of buckets', 'verdicts', 12, 0],
    ['a table that forgets', 'flows', 40, 0],
    ['a trie', 'ports', 16, 96],
  ] as const)('are read and counted in pieces: %s', (_about, name, keyBytes, prefixLength) => {
    const map = lab.datapath.maps[name];
    map.deleteMany([...map.keys()]);
    for (const count of [0, 1, 4096, 9000]) {
      const keys = Array.from({ length: count }, (_, i) => {
        const key = Buffer.alloc(keyBytes);
        key.writeUInt32LE(prefixLength);
        // Where a trie has its generation; the port is behind it.
        key.writeUInt32LE(9, 4);
        key.writeUInt32LE(i, keyBytes - 4);
        return key;
      });
      const value = Buffer.alloc(map.valueBytes, 7);
      map.updateMany(keys.map((key) => [key, value]));
      expect(map.count()).toBe(count);
      const read = new Map([...map.entries()].map(([key, own]) => [key.toString('hex'), own]));
      expect([...read.keys()].sort()).toEqual(keys.map((key) => key.toString('hex')).sort());
      expect([...read.values()].every((own) => own.equals(value))).toBe(true);
      map.deleteMany(keys);
    }
  });

  it('want keys and values of their own size', () => {
    const { verdicts } = lab.datapath.maps;
    expect(() => verdicts.lookup(Buffer.alloc(3))).toThrow('a key has 12 bytes');
    expect(() => verdicts.update(Buffer.alloc(12), Buffer.alloc(3))).toThrow('a value has 4 bytes');
  });

  it('say when they are full', () => {
    const { endpoints } = lab.datapath.maps;
    const entry = (i: number): [Buffer, Buffer] => {
      const key = Buffer.alloc(8);
      key.writeUInt32LE(i);
      return [key, Buffer.alloc(endpoints.valueBytes)];
    };
    const entries = Array.from({ length: endpoints.maxEntries + 1 }, (_, i) => entry(i));
    expect(() => endpoints.updateMany(entries)).toThrow(/E2BIG|ENOSPC|ENOMEM/);
    endpoints.deleteMany(entries.map(([key]) => key));
  });
});

describe('what is told instead of done', () => {
  it('an object that its manifest does not describe', () => {
    const folder = mkdtempSync(join(tmpdir(), 'spA-object-'));
    const objectPath = join(folder, 'sallyport.bpf.o');
    copyFileSync(OBJECT, objectPath);
    const manifest = JSON.parse(readFileSync(`${OBJECT}.json`, 'utf8'));
    const attempt = (change: object) => {
      writeFileSync(`${objectPath}.json`, JSON.stringify({ ...manifest, ...change }));
      return () => openDatapath({ root: lab.root, objectPath });
    };
    expect(attempt({ object: 'other' })).toThrow('is not what its manifest describes');
    expect(attempt({ layoutVersion: 0 })).toThrow('has layout 0');
    rmSync(`${objectPath}.json`);
    expect(() => openDatapath({ root: lab.root, objectPath })).toThrow('npm run build:bpf');
    rmSync(folder, { recursive: true });
  });

  it('a root that is on no bpffs', () => {
    const folder = mkdtempSync(join(tmpdir(), 'spA-nobpf-'));
    expect(() => openDatapath({ root: join(folder, 'x'), objectPath: OBJECT })).toThrow('bpffs');
    rmSync(folder, { recursive: true });
  });

  it('an interface that there is none', () => {
    expect(() => lab.inside(() => lab.datapath.attachInterface(4_000_000))).toThrow(
      /E(NODEV|INVAL)/,
    );
  });

  it('a kernel that is too old', () => {
    expect(missingFeatures()).toEqual([]);
    expect(missingFeatures('6.1.0-13-amd64')[0]).toContain('6.6 or newer is needed');
  });

  it('a map that is not there', () => {
    expect(() => openPinnedMap(join(lab.root, `v${LAYOUT_VERSION}/maps/none`))).toThrow('ENOENT');
  });
});

describe('the proxy’s user, with no capability at all', () => {
  /** The script's last word; `gid` is that of the proxy, or another. */
  function asUser(script: string, gid: number): string {
    const command = ['setpriv', '--reuid', '1337', '--regid', String(gid), '--clear-groups'];
    const caps = ['--inh-caps=-all', '--bounding-set=-all', '--no-new-privs'];
    const node = [process.execPath, '--input-type=module', '-e'];
    const preamble = `import { openPinnedMap, sockmapUpdate } from ${JSON.stringify(PINNED.href)};
      const maps = ${JSON.stringify(lab.datapath.mapsFolder)};`;
    return lab.node.run([...command, ...caps, ...node, `${preamble}${script}`]).trim();
  }

  const lookup = `try {
      const records = openPinnedMap(maps + '/' + process.env.MAP);
      console.log(records.lookup(Buffer.alloc(records.keyBytes)) === null ? 'read' : 'found');
    } catch (error) { console.log(error.code); }`;
  const reading = (map: string): string => lookup.replace('process.env.MAP', `'${map}'`);

  it('reads the records and what was refused, and nothing else', () => {
    expect(asUser(reading('records'), 1337)).toBe('read');
    expect(asUser(reading('refusals'), 1337)).toBe('read');
    expect(asUser(reading('refusals'), 1338)).toBe('EACCES');
    expect(asUser(reading('addresses'), 1337)).toBe('EACCES');
    expect(asUser(reading('settings'), 1337)).toBe('EACCES');
    expect(asUser(reading('records'), 1338)).toBe('EACCES');
  });

  it('puts its listener into the sockmap, and nobody else does', () => {
    const put = `import { createServer } from 'node:net';
      const server = createServer().listen(0, '127.0.0.1', () => {
        try {
          sockmapUpdate(maps + '/listeners', 5, server._handle.fd);
          console.log('put');
        } catch (error) { console.log(error.code); }
        server.close();
      });`;
    expect(asUser(put, 1337)).toBe('put');
    expect(asUser(put, 1338)).toBe('EACCES');
  });

  it('writes no record', () => {
    const write = `import { KernelMap } from ${JSON.stringify(PINNED.href.replace('pinned', 'kernel_map'))};
      try { KernelMap.open(maps + '/records').update(Buffer.alloc(40), Buffer.alloc(48)); console.log('written'); }
      catch (error) { console.log(error.code); }`;
    expect(asUser(write, 1337)).toBe('EACCES');
    expect(statSync(join(lab.datapath.mapsFolder, 'records')).mode & 0o777).toBe(0o640);
  });
});

describe('a listener in the sockmap', () => {
  it('leaves it when it closes', async () => {
    const server = createServer();
    await lab.node.listen(server, { ip: '127.0.0.1', port: 17_001 });
    const path = join(lab.datapath.mapsFolder, 'listeners');
    sockmapUpdate(path, 7, (server as unknown as { _handle: { fd: number } })._handle.fd);
    const slot = Buffer.from([7, 0, 0, 0]);
    expect(lab.datapath.maps.listeners.lookup(slot)).not.toBeNull();
    await new Promise((resolve) => server.close(resolve));
    expect(lab.datapath.maps.listeners.lookup(slot)).toBeNull();
  });
});

describe('at the end', () => {
  it('nothing is left', () => {
    removeDatapath(lab.root);
    expect(existsSync(lab.root)).toBe(false);
  });
});
