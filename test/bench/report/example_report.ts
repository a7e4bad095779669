/** A report with everything in it that can be in one; the figures are made up and say nothing. */
import type { Report, Row, Sample, Scenario, SubjectFacts } from '../../../bench/report/report.ts';

const NAMES = [
  'sallyport',
  'sallyport, worker',
  'envoy',
  'haproxy',
  'haproxy, no log',
  'nginx',
  'node:http + undici',
  'origin alone',
];

export const EXAMPLE_REPORT: Report = {
  schemaVersion: 1,
  startedAt: '2026-01-02T03:04:05.000Z',
  seconds: 754,
  command: 'npm run bench -- http1 latency --rounds 3',
  machine: {
    cpu: 'Example CPU <9000> @ 2.5 GHz',
    cores: 2,
    memoryBytes: 8 * 2 ** 30,
    kernel: 'Linux 6.1.0-18-amd64',
    node: 'v26.10.0',
    revision: 'v0.1.0-12-gabcdef0-dirty',
    pinning: { measured: '1', other: '0' },
    loadAverage: 0.31,
    tools: { autocannon: '9.0.0', wrk: '4.1.0' },
  },
  subjects: NAMES.map(subjectFacts),
  missing: [
    { name: 'h2load', why: 'not installed: apt-get install nghttp2-client' },
    { name: 'traefik | <b>', why: 'no `binary` in [PATH]' },
  ],
  suites: [
    {
      name: 'http1',
      title: 'HTTP/1.1',
      about: 'What a request costs the core of the proxy, and how many go through.',
      scenarios: [costScenario('connections-32', '32 connections, no content', 1), sizes()],
      plots: [stackedPlot(), groupedPlot()],
    },
    {
      name: 'latency',
      title: 'Latency at half load',
      about: 'Requests are due at a fixed rate, half of what the slowest peer can do.',
      scenarios: [latencyScenario()],
      plots: [percentilePlot(), rulesPlot()],
    },
  ],
};

function subjectFacts(name: string): SubjectFacts {
  return {
    name,
    version: `${name} 1.2.3`,
    commands: [`taskset -c 1 "${name}" --config bench.conf && echo '<done>'`],
    files: [{ name: 'bench.conf', text: `# <${name}> & "friends"\nlisten 127.0.0.1:8080;\n` }],
  };
}

function costScenario(id: string, title: string, factor: number): Scenario {
  return {
    id,
    title,
    load: ['wrk -t1 -c32 -d5s http://127.0.0.1:PORT/orders/1', 'autocannon -c 32'],
    figures: ['cpuMicros', 'cpuUserMicros', 'cpuSystemMicros', 'requestsPerSecond', 'p99Ms'],
    reference: 'haproxy',
    rows: NAMES.map((subject, i) => row(subject, (i + 3) * 5 * factor)),
    warnings: [],
  };
}

function row(subject: string, cost: number): Row {
  const samples = [0.97, 1, 1.06].map(
    (wobble): Sample => ({
      cpuMicros: cost * wobble,
      cpuUserMicros: cost * wobble * 0.6,
      cpuSystemMicros: cost * wobble * 0.4,
      requestsPerSecond: 1e6 / (cost * wobble),
      ...(subject === 'envoy' ? {} : { p99Ms: cost * wobble * 0.02 }),
    }),
  );
  return { subject, samples };
}

function sizes(): Scenario {
  return {
    ...costScenario('content-1MiB', 'Content of 1 MiB & <more>', 40),
    reference: null,
    warnings: [
      'envoy: the rounds are 31 % apart, more than the bound of 10 %',
      'core 1 was not idle before the run: <sshd> took 12 %',
    ],
  };
}

function latencyScenario(): Scenario {
  return {
    id: 'half-load',
    title: '8,000 requests a second',
    load: ['fixed rate of 8,000 /s over 32 connections, from the intended time'],
    figures: ['p50Ms', 'p99Ms', 'p999Ms', 'maxMs', 'failures'],
    reference: 'haproxy',
    rows: NAMES.map((subject, i) => ({
      subject,
      samples: [1, 1.2].map((wobble) => ({
        p50Ms: 0.1 * (i + 1) * wobble,
        p99Ms: 0.3 * (i + 1) * wobble,
        p999Ms: 1.1 * (i + 1) * wobble,
        maxMs: 4.5 * (i + 1),
        failures: 0,
      })),
    })),
    warnings: [],
  };
}

function stackedPlot(): Report['suites'][number]['plots'][number] {
  const part = (name: string, share: number) => ({
    name,
    points: NAMES.map((_, i): [number, number] => [i, (i + 3) * 5 * share]),
  });
  return {
    id: 'cpu',
    title: 'CPU a request at 32 connections',
    kind: 'stacked bars',
    x: { label: 'subject', isLogarithmic: false, categories: NAMES },
    y: { label: 'CPU a request, µs', isLogarithmic: false, categories: [] },
    series: [part('user', 0.6), part('kernel', 0.4)],
  };
}

function groupedPlot(): Report['suites'][number]['plots'][number] {
  const sizeNames = ['0', '1 KiB', '64 KiB', '1 MiB'];
  return {
    id: 'sizes',
    title: 'CPU a request by size of the content',
    kind: 'bars',
    x: { label: 'content', isLogarithmic: false, categories: sizeNames },
    y: { label: 'CPU a request, µs', isLogarithmic: true, categories: [] },
    series: NAMES.slice(0, 6).map((name, s) => ({
      name,
      points: sizeNames.map((_, i): [number, number] => [i, (s + 3) * 5 * 4 ** i]),
    })),
  };
}

function percentilePlot(): Report['suites'][number]['plots'][number] {
  return {
    id: 'percentiles',
    title: 'Latency by percentile',
    kind: 'lines',
    x: {
      label: 'percentile',
      isLogarithmic: true,
      categories: [],
      marks: [
        [2, 'p50'],
        [10, 'p90'],
        [100, 'p99'],
        [1000, 'p99.9'],
      ],
    },
    y: { label: 'latency, ms', isLogarithmic: true, categories: [] },
    series: NAMES.map((name, i) => ({
      name,
      points: [2, 10, 100, 1000].map((at): [number, number] => [at, 0.05 * (i + 1) * at ** 0.4]),
    })),
  };
}

function rulesPlot(): Report['suites'][number]['plots'][number] {
  return {
    id: 'rules',
    title: 'Cost as rules grow',
    kind: 'lines',
    x: { label: 'rules', isLogarithmic: true, categories: [] },
    y: { label: 'CPU a request, µs', isLogarithmic: false, categories: [] },
    series: NAMES.slice(0, 4).map((name, i) => ({
      name,
      points: [1, 10, 100, 1000, 10000].map((at): [number, number] => [at, 15 + i * at ** 0.45]),
    })),
  };
}
