import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Direction, Identity } from '../../../src/model/identity.ts';
import type { Inventory } from '../../../src/policy/resolve/inventory.ts';
import type { PolicySpec } from '../../../src/policy/rule.ts';
import {
  API,
  cidr,
  endpoint,
  from,
  http,
  JOB,
  linesOf,
  policyOf,
  ports,
  prefixOf,
  resolved,
  rule,
  spec,
  tableOf,
  WEB,
  worldOf,
} from '../../support/resolve_world.ts';

const HOST = '0: 0/1 allow [1]';

interface Case {
  readonly about: string;
  readonly specs: readonly PolicySpec[];
  readonly direction?: Direction;
  readonly inventory?: Inventory;
  readonly expected: readonly string[];
}

const cases: readonly Case[] = [
  {
    about: 'nobody selects it: everything, as a port policy without rules',
    specs: [],
    expected: ['0: 16777215/0 allow any'],
  },
  {
    about: 'rules of the other direction only',
    specs: [spec([rule()])],
    direction: 'egress',
    expected: ['0: 16777215/0 allow any'],
  },
  {
    about: 'default deny that is asked for without a rule',
    specs: [spec([], { enableDefaultDeny: { ingress: true, egress: false } })],
    expected: [HOST],
  },
  { about: 'a rule without peers and ports', specs: [spec([rule()])], expected: [HOST] },
  {
    about: 'an empty toPorts is as none',
    specs: [spec([rule({ peers: from('web'), ports: [] })])],
    expected: ['0: 0/1 allow [1002]', HOST],
  },
  {
    about: 'an empty peer list',
    specs: [spec([rule({ peers: [], ports: [ports('80')] })])],
    expected: [HOST],
  },
  {
    about: 'a selector that selects nobody',
    specs: [spec([rule({ peers: from('ghost'), ports: [ports('80')] })])],
    expected: [HOST],
  },
  {
    about: 'a group',
    specs: [spec([rule({ peers: [{ kind: 'group', about: 'aws' }] })])],
    expected: [HOST],
  },
  {
    about: 'peers absent: any remote on the port',
    specs: [spec([rule({ ports: [ports('80')] })])],
    expected: [HOST, '80: 0/1 allow any'],
  },
  {
    about: 'peers without ports: port 0',
    specs: [spec([rule({ peers: from('web') })])],
    expected: ['0: 0/1 allow [1002]', HOST],
  },
  {
    about: 'icmps alone',
    specs: [spec([rule({ peers: from('web'), hasIcmps: true })])],
    expected: [HOST],
  },
  {
    about: 'a range',
    specs: [spec([rule({ ports: [ports('80-90')] })])],
    expected: [HOST, '80-90: 0/1 allow any'],
  },
  {
    about: 'L7 rules are a redirect, which precedes a plain allow and follows a deny',
    specs: [
      spec([
        rule({ peers: from('web'), ports: [ports('80', { l7: http('GET') })] }),
        rule({ peers: from('job'), ports: [ports('80')] }),
        rule({ action: 'deny', peers: from('api'), ports: [ports('80')] }),
      ]),
    ],
    expected: [
      HOST,
      '80: 0/255 deny [1001]',
      '80: 0/154 allow [1002] http(1)',
      '80: 0/1 allow [1003]',
    ],
  },
  {
    about: 'same selector with and without L7: an empty HTTP rule is appended',
    specs: [
      spec([rule({ peers: from('web'), ports: [ports('80', { l7: http('GET') })] })]),
      spec([rule({ peers: from('web'), ports: [ports('80')] })]),
    ],
    expected: [HOST, '80: 0/154 allow [1002] http(2)'],
  },
  {
    about: 'other selectors of the same rule keep their L7 rules as they are',
    specs: [
      spec([rule({ peers: from('web', 'job'), ports: [ports('80', { l7: http('GET') })] })]),
      spec([rule({ peers: from('web'), ports: [ports('80')] })]),
    ],
    expected: [HOST, '80: 0/154 allow [1003] http(1)', '80: 0/154 allow [1002] http(2)'],
  },
  {
    about: 'equal L7 rules are one',
    specs: [
      spec([rule({ peers: from('web'), ports: [ports('80', { l7: http('GET', 'PUT') })] })]),
      spec([rule({ peers: from('web'), ports: [ports('80', { l7: http('PUT') })] })]),
    ],
    expected: [HOST, '80: 0/154 allow [1002] http(2)'],
  },
  {
    about: 'same selector: deny beats allow',
    specs: [
      spec([
        rule({ peers: from('web'), ports: [ports('80')] }),
        rule({ action: 'deny', peers: from('web'), ports: [ports('80')] }),
      ]),
    ],
    expected: [HOST, '80: 0/255 deny [1002]'],
  },
  {
    about: 'server names of one selector restrict the union',
    specs: [
      spec([
        rule({ peers: from('web'), ports: [ports('443', { serverNames: ['b', 'a'] })] }),
        rule({ peers: from('web'), ports: [ports('443')] }),
      ]),
    ],
    expected: [HOST, '443: 0/139 allow [1002] sni(a b)'],
  },
  {
    about: 'TLS contexts alone mean HTTP',
    specs: [spec([rule({ peers: from('web'), ports: [ports('443', { isTlsTerminated: true })] })])],
    expected: [HOST, '443: 0/139 allow [1002] http(1)'],
  },
  {
    about: 'without default deny: a wildcard on the last level, and the L7 rules only observe',
    specs: [
      spec([rule({ peers: from('web'), ports: [ports('80', { l7: http('GET') })] })], {
        enableDefaultDeny: { ingress: false, egress: false },
      }),
    ],
    expected: [HOST, '0: 1/1 allow any', '80: 0/154 allow [1002] http(2)'],
  },
  {
    about: 'a listener is a proxy id, by its priority',
    specs: [
      spec([
        rule({
          peers: from('web'),
          ports: [
            ports('80', { listener: listener('known', 3) }),
            ports('81', { listener: listener('unknown', 3) }),
          ],
        }),
      ]),
    ],
    inventory: worldOf({ listeners: new Map([['known', 15]]) }),
    expected: [HOST, '80: 0/252 allow [1002] proxy 15'],
  },
  {
    about: 'an allow of the same selector is served by the listener, too',
    specs: [
      spec([
        rule({ peers: from('web'), ports: [ports('80', { listener: listener('known', 0) })] }),
        rule({ peers: from('web'), ports: [ports('80')] }),
      ]),
    ],
    inventory: worldOf({ listeners: new Map([['known', 15]]) }),
    expected: [HOST, '80: 0/129 allow [1002] proxy 15'],
  },
  {
    about: 'a named port on ingress: the subject’s',
    specs: [spec([rule({ peers: from('web'), ports: [ports('http'), ports('none')] })])],
    inventory: worldOf({
      endpoints: [named(API.name, 101, 'api', 8080), named('default/web', 102, 'web', 9090)],
    }),
    expected: [HOST, '8080: 0/1 allow [1002]'],
  },
  {
    about: 'a named port on egress: each destination’s',
    direction: 'egress',
    specs: [
      spec([rule({ direction: 'egress', peers: from('web', 'job'), ports: [ports('http')] })]),
    ],
    inventory: worldOf({
      endpoints: [
        API,
        named('default/web', 102, 'web', 9090),
        named('default/job', 103, 'job', 9091),
      ],
    }),
    expected: ['9090: 0/1 allow [1002]', '9091: 0/1 allow [1003]'],
  },
  {
    about: 'a CIDR without its exception',
    specs: [spec([rule({ peers: [cidr('10.0.0.0/8', '10.0.0.0/16')] })])],
    inventory: worldOf({
      cidrs: [
        { prefix: prefixOf('10.0.0.0/8'), identity: (2 ** 24 + 8) as Identity, labels: [] },
        { prefix: prefixOf('10.0.0.0/16'), identity: (2 ** 24 + 16) as Identity, labels: [] },
      ],
    }),
    expected: ['0: 0/1 allow [16777224]', HOST],
  },
  {
    about: 'an identity of two CIDRs: an allow must cover both, a deny any of them',
    specs: [
      spec([
        rule({ peers: [cidr('192.0.2.0/24')], ports: [ports('80')] }),
        rule({ peers: [cidr('192.0.0.0/16')], ports: [ports('81')] }),
        rule({ action: 'deny', peers: [cidr('192.0.3.0/24')], ports: [ports('82')] }),
      ]),
    ],
    inventory: worldOf({
      cidrs: ['192.0.2.0/24', '192.0.3.0/24', '192.0.0.0/16'].map((text, index) => ({
        prefix: prefixOf(text),
        identity: (2 ** 24 + (index < 2 ? 1 : 2)) as Identity,
        labels: [],
      })),
    }),
    expected: [HOST, '81: 0/1 allow [16777217 16777218]', '82: 0/255 deny [16777217]'],
  },
  {
    about: 'tiers: each rule of admin and baseline has a level; a pass goes on at the next tier',
    specs: [
      spec(
        [
          rule({ action: 'pass', peers: from('web') }),
          rule({ action: 'deny', peers: [{ kind: 'entity', entity: 'all' }] }),
        ],
        { tier: 'admin', enableDefaultDeny: { ingress: false, egress: false } },
      ),
      spec([rule({ peers: from('web'), ports: [ports('80')] })], {
        enableDefaultDeny: { ingress: false, egress: false },
      }),
      spec([rule({ action: 'deny', peers: from('job') })], {
        tier: 'baseline',
        enableDefaultDeny: { ingress: false, egress: false },
      }),
    ],
    expected: [
      HOST,
      '0: 0/0 pass [1002]',
      '0: 1/255 deny any',
      '0: 3/255 deny [1003]',
      '0: 4/1 allow any',
      '80: 2/1 allow [1002]',
    ],
  },
  {
    about: 'default deny of the normal tier leaves nothing to the baseline',
    specs: [
      spec([rule({ ports: [ports('80')] })]),
      spec([rule({ peers: from('web') })], {
        tier: 'baseline',
        enableDefaultDeny: { ingress: false, egress: false },
      }),
    ],
    expected: [HOST, '80: 0/1 allow any'],
  },
];

describe('resolved rules', () => {
  it.each(cases)('$about', ({ specs, direction, inventory, expected }) => {
    const policy = policyOf('default/api', specs, inventory);
    expect(linesOf(policy, direction ?? 'ingress')).toEqual(expected);
  });

  it('of a rule for every protocol are there for each', () => {
    const policy = policyOf('default/api', [spec([rule({ peers: from('web') })])]);
    for (const protocol of ['TCP', 'UDP', 'SCTP']) {
      expect(linesOf(policy, 'ingress', protocol)).toEqual(['0: 0/1 allow [1002]', HOST]);
    }
  });

  it('keep the place in the policy that they came from', () => {
    const one = spec([rule(), rule({ peers: from('web'), ports: [ports('80'), ports('81')] })]);
    const rules = policyOf('default/api', [one]).ingress.flatMap((entry) => entry.rules);
    const origins = rules.map(({ origin }) => `${origin.policy} ${origin.rule}`);
    expect(origins).toContain(`${one.origin.policy} ingress[1].toPorts[1]`);
  });

  it('never have remotes that are nobody for good, nor a port without rules', () => {
    for (const { specs, inventory, direction } of cases.filter((one) =>
      one.about.startsWith('a'),
    )) {
      const policy = policyOf('default/api', specs, inventory);
      for (const entry of policy[direction ?? 'ingress']) {
        expect(entry.rules.length).toBeGreaterThan(0);
        for (const { remotes, selector } of entry.rules) {
          if (selector === undefined) expect(remotes?.size).not.toBe(0);
        }
      }
    }
  });
});

describe('a conflict rejects the set, with the place of both rules', () => {
  const dns = {
    kind: 'dns',
    rules: [{ origin: { policy: '', rule: '' }, matchName: null, matchPattern: '*' }],
  } as const;
  const conflicts: readonly [
    about: string,
    left: ReturnType<typeof ports>,
    right: ReturnType<typeof ports>,
    text: string,
  ][] = [
    ['HTTP and DNS', ports('53', { l7: http('GET') }), ports('53', { l7: dns }), 'http and dns'],
    [
      'a listener and HTTP',
      ports('80', { listener: listener('a', 1) }),
      ports('80', { l7: http('GET') }),
      'crd and http',
    ],
    [
      'two listeners',
      ports('80', { listener: listener('a', 1) }),
      ports('80', { listener: listener('b', 1) }),
      'equal priority',
    ],
    [
      'server names and HTTP',
      ports('443', { serverNames: ['a'] }),
      ports('443', { l7: http('GET') }),
      'terminatingTLS',
    ],
  ];
  it.each(conflicts)('%s', (_, left, right, text) => {
    const specs = [left, right].map((one) => spec([rule({ peers: from('web'), ports: [one] })]));
    const result = resolved(specs);
    expect(result.kind).toBe('conflict');
    if (result.kind !== 'conflict') return;
    expect(result.conflict.message).toContain(text);
    expect(result.conflict.origins.map(({ policy }) => policy).sort()).toEqual(
      specs.map(({ origin }) => origin.policy).sort(),
    );
  });

  it('but not between different selectors', () => {
    const specs = [
      spec([rule({ peers: from('web'), ports: [ports('53', { l7: http('GET') })] })]),
      spec([rule({ peers: from('job'), ports: [ports('53', { l7: dns })] })]),
    ];
    expect(resolved(specs).kind).toBe('ok');
  });
});

describe('warnings', () => {
  it('tell of what is valid and cannot take effect', () => {
    const specs = [
      spec([
        rule({ peers: [{ kind: 'group', about: 'aws' }] }),
        rule({ ports: [ports('missing')] }),
        rule({ ports: [ports('80', { listener: listener('gone', 0) })] }),
      ]),
    ];
    const result = resolved(specs);
    const messages = result.kind === 'ok' ? result.warnings.map(({ message }) => message) : [];
    expect(messages).toHaveLength(3);
    expect(messages.join('\n')).toMatch(/aws[\s\S]*missing[\s\S]*gone/);
  });
});

describe('order', () => {
  const pool = cases.flatMap((one) => one.specs);

  it('of documents does not matter', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(pool), (specs) => {
        const sorted = [...specs].sort((a, b) => (a.origin.policy < b.origin.policy ? -1 : 1));
        expect(resolved(specs)).toEqual(resolved(sorted));
      }),
    );
  });

  it('of rules within a policy matters to names only', () => {
    const one = pool.filter(({ rules, tier }) => rules.length > 1 && tier === 'normal');
    for (const current of one) {
      const reversed = { ...current, rules: [...current.rules].reverse() };
      expect(linesOf(policyOf('default/api', [reversed]), 'ingress').sort()).toEqual(
        linesOf(policyOf('default/api', [current]), 'ingress').sort(),
      );
    }
  });
});

describe('endpoints', () => {
  it('without an id are numbered, beside those that have one', () => {
    const endpoints = [API, { ...WEB, endpointId: 0 }, { ...JOB, endpointId: 2 }].map((one) => ({
      ...one,
      identity: null,
    }));
    const result = resolved([], worldOf({ endpoints }));
    const ids = result.kind === 'ok' ? result.policies.map(({ endpointId }) => endpointId) : [];
    expect(ids).toEqual([101, 1, 2]);
  });

  it('are told which policies select them', () => {
    const one = spec([rule()]);
    const result = resolved([one]);
    const selecting = result.kind === 'ok' ? result.selecting : new Map();
    expect(selecting.get('default/api')).toEqual([one.origin.policy]);
    expect(selecting.get('default/web')).toEqual([]);
  });

  it('that are not local have no policy, and are peers with names of ports', () => {
    const far = { ...named('default/far', 104, 'far', 8080), isLocal: false };
    const one = spec([rule({ direction: 'egress', peers: from('far'), ports: [ports('http')] })], {
      subject: { kind: 'endpoints', selector: { requirements: [] } },
    });
    const result = resolved([one], worldOf({ endpoints: [API, far] }));
    if (result.kind === 'conflict') throw new Error(result.conflict.message);
    expect(result.policies.map(({ name }) => name)).toEqual(['default/api']);
    expect([...result.selecting.keys()]).toEqual(['default/api']);
    expect(
      linesOf(policyOf('default/api', [one], worldOf({ endpoints: [API, far] })), 'egress'),
    ).toEqual(['8080: 0/1 allow [1004]']);
  });

  it('get the identity of their address, also where a policy names the address', () => {
    const table = tableOf(worldOf(), [spec([rule({ peers: [cidr('10.0.0.2/32')] })])]);
    expect(table.ipcache.lookup('10.0.0.2')).toBe(1002);
  });
});

function listener(name: string, priority: number) {
  return { envoyConfigKind: null, envoyConfigName: null, name, priority };
}

function named(name: string, id: number, appName: string, number: number) {
  return endpoint(
    name,
    `10.0.0.${id - 100}`,
    id,
    [`k8s:app=${appName}`],
    [{ name: 'http', port: number, protocol: 'TCP' }],
  );
}
