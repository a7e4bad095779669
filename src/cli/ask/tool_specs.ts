/** The argument tables of the verbs that ask the engine: check, test, explain, verdict, bench; and demo. */
import { type FlagSpec, OUTPUT_FLAG, type VerbSpec } from '../args.ts';
import { ACCESS_FLAGS, kubeFlags, NAMESPACE_OF_NAMES } from '../kube_flags.ts';

const POLICY_FLAG: FlagSpec = {
  name: 'policy',
  short: 'p',
  value: 'PATH',
  isRepeated: true,
  about: 'a policy file, a directory, or - for standard input',
};

const ENDPOINTS_FLAG: FlagSpec = {
  name: 'endpoints',
  value: 'FILE',
  about: 'endpoints, their labels and addresses',
};

const SECRETS_FLAG: FlagSpec = {
  name: 'secrets',
  value: 'FILE',
  about: 'secrets of header matches: name -> value',
};

const NODE_LABELS_FLAG: FlagSpec = {
  name: 'enable-node-selector-labels',
  about: 'allow fromNodes and toNodes, like the configuration field enableNodeSelectorLabels',
};

export const SOURCE_FLAGS: readonly FlagSpec[] = [
  POLICY_FLAG,
  ENDPOINTS_FLAG,
  SECRETS_FLAG,
  NODE_LABELS_FLAG,
];

/** As a proxy with that configuration decides. */
export const JUDGE_HOST_FLAG: FlagSpec = {
  name: 'judge-host',
  about: 'judge the host like any other client, as redirect.host: policy does',
};

const CONFIG_FLAG: FlagSpec = {
  name: 'config',
  short: 'c',
  value: 'FILE',
  about: 'instead, ask what this configuration names, files or a cluster, and judge as `run` would',
};

const KUBE_FLAGS = kubeFlags(
  'instead, ask about what is in a Kubernetes cluster now, with the files of -p laid over it',
  NAMESPACE_OF_NAMES,
);

const SERVICES_NOTE =
  'The address of a Service is judged by all who may be behind it, as sockets and packets are that go there.\n' +
  'An external address, and a NodePort elsewhere, is judged as dialled, too. Packets that are not translated\n' +
  'at the socket (redirect.services) are refused where the kernel cannot have requests judged: it is told.';

export const CHECK_SPEC: VerbSpec = {
  name: 'check',
  about: 'Validates and lints policies',
  argumentsForm: '[POLICY...]',
  argumentCountMin: 0,
  argumentCountMax: Number.POSITIVE_INFINITY,
  flags: [
    ...SOURCE_FLAGS,
    {
      name: 'config',
      short: 'c',
      value: 'FILE',
      about:
        'instead, check what this configuration names, files or a cluster, and whether `run` would start',
    },
    ...kubeFlags(
      'instead, check what is in a Kubernetes cluster now, and what the files of -p would change there',
      'print only findings about objects of this namespace, and about files',
    ),
    {
      name: 'flows',
      value: 'FROM',
      about:
        'with --kube -p: judge these flows, too: a file of GET /flows, or the address of an admin server',
    },
    { name: 'strict', about: 'count notes as findings, too' },
    {
      name: 'ignore',
      value: 'ID',
      isRepeated: true,
      about: 'leave out findings with this id (docs/findings.md lists the ids)',
    },
    { name: 'all', about: 'print every finding, even when there are many of one kind' },
    OUTPUT_FLAG,
  ],
  notes: [
    'Every problem is printed with file, line, column and field. JSON and YAML have every finding.',
    'Exit code 0: clean (notes count only with --strict), 1: findings, or `run` would not start,\n' +
      '2: a file or the cluster cannot be read, or the configuration is wrong. What would change does\n' +
      'not count.',
    'A policy can name findings that are to be left out, with the annotation\n' +
      'sallyport.dev/ignore-findings: ID, ID',
  ],
  examples: [
    'sallyport check -p policies/',
    'kubectl get cnp -A -o yaml | sallyport check -p -',
    'sallyport check -c sallyport.yaml',
    'sallyport check --kube -p new.yaml',
  ],
};

export const TEST_SPEC: VerbSpec = {
  name: 'test',
  about: 'Runs policy tests: files with requests and the verdicts that you expect',
  argumentsForm: 'FILE...',
  argumentCountMin: 1,
  argumentCountMax: Number.POSITIVE_INFINITY,
  flags: [
    ...kubeFlags(
      'ask what is in a Kubernetes cluster now, instead of what the files name',
      NAMESPACE_OF_NAMES,
    ),
    { ...CONFIG_FLAG, about: 'ask the cluster of this configuration, as `run` would' },
    { ...POLICY_FLAG, about: 'with --kube: a policy file or directory that is laid over it' },
    { ...SECRETS_FLAG, about: 'with --kube: secrets of header matches: name -> value' },
    { ...NODE_LABELS_FLAG, about: 'with --kube: allow fromNodes and toNodes' },
    { name: 'junit', value: 'FILE', about: 'write the results as JUnit XML, too' },
    { name: 'quiet', short: 'q', about: 'print failures and the last line only' },
  ],
  notes: [
    'A FILE may be a directory. Exit code 0: all passed, 1: a case failed, 2: a file cannot be read.',
  ],
  examples: [
    'sallyport test tests/',
    'sallyport test api.test.yaml --junit results.xml',
    'sallyport test --kube tests/',
  ],
};

export const EXPLAIN_SPEC: VerbSpec = {
  name: 'explain',
  about: 'Prints the verdict on one request and, rule by rule, the reason',
  argumentsForm: '[POLICY...]',
  argumentCountMin: 0,
  argumentCountMax: Number.POSITIVE_INFINITY,
  flags: [
    ...SOURCE_FLAGS,
    CONFIG_FLAG,
    ...KUBE_FLAGS,
    {
      name: 'endpoint',
      value: 'NAME',
      about: 'the endpoint whose policy is asked: namespace/name',
    },
    { name: 'endpoint-ip', value: 'IP', about: 'or by its address' },
    {
      name: 'endpoint-label',
      value: 'LABEL',
      isRepeated: true,
      about: 'or an endpoint that no file names, by its labels (k8s:app=api)',
    },
    { name: 'remote', value: 'NAME', about: 'the other side: namespace/name' },
    { name: 'remote-ip', value: 'IP', about: 'or by its address' },
    {
      name: 'to',
      value: 'IP:PORT',
      about: 'what the endpoint dials; that of a Service is judged by its backends (see below)',
    },
    { name: 'service', value: 'NAME:PORT', about: 'or by the Service: namespace/name:port' },
    { name: 'identity', value: 'NUMBER', about: 'or by its numeric identity' },
    { name: 'label', value: 'LABEL', isRepeated: true, about: 'or by its labels' },
    {
      name: 'direction',
      value: 'DIRECTION',
      choices: ['ingress', 'egress'],
      about: 'seen from the endpoint (default: ingress)',
    },
    {
      name: 'port',
      value: 'PORT',
      about: 'the destination port (default: that of --url, 53 of --dns, else 80)',
    },
    {
      name: 'protocol',
      value: 'PROTOCOL',
      choices: ['TCP', 'UDP', 'SCTP', 'ICMP', 'ICMPv6'],
      about: 'TCP (the default), UDP, SCTP, ICMP or ICMPv6',
    },
    {
      name: 'icmp',
      value: 'TYPE',
      about: 'an ICMP message instead of a connection: EchoRequest, or 8 (ICMPv6 with --protocol)',
    },
    { name: 'proxy-id', value: 'NUMBER', about: 'the listener (default: 0)' },
    { name: 'sni', value: 'NAME', about: 'the server name of a TLS connection' },
    { name: 'method', short: 'X', value: 'METHOD', about: 'the method of an HTTP request' },
    { name: 'path', value: 'PATH', about: 'its path, query included' },
    { name: 'host', value: 'HOST', about: 'its Host' },
    { name: 'url', value: 'URL', about: 'host, port and path at once' },
    { name: 'header', short: 'H', value: '"N: V"', isRepeated: true, about: 'one of its fields' },
    { name: 'dns', value: 'NAME', about: 'a DNS question instead of an HTTP request' },
    { name: 'request', value: 'JSON', about: 'the whole request as a line of `verdict`' },
    { name: 'all', about: 'print every rule, even when there are many' },
    JUDGE_HOST_FLAG,
    OUTPUT_FLAG,
  ],
  notes: [
    'Without --method, --path, --url and --dns only the connection is judged. The path is normalised\n' +
      'as the proxy does it. JSON and YAML have every rule: `steps` has the rules of the port in the\n' +
      'order in which they are asked, `near` has all rules of the direction.',
    SERVICES_NOTE,
    'Exit code 0: allowed, 1: denied, 2: the question cannot be asked.',
  ],
  examples: [
    'sallyport explain -p policies/ --endpoints endpoints.yaml \\\n' +
      '    --endpoint default/api --remote default/client -X POST --url http://api:8080/orders',
    'sallyport explain --kube --endpoint shop/web --to 10.96.0.10:53 --protocol UDP',
  ],
};

export const VERDICT_SPEC: VerbSpec = {
  name: 'verdict',
  about: 'Judges requests for scripts: JSON lines in, JSON lines out',
  argumentsForm: '[POLICY...]',
  argumentCountMin: 0,
  argumentCountMax: Number.POSITIVE_INFINITY,
  flags: [...SOURCE_FLAGS, CONFIG_FLAG, ...KUBE_FLAGS, JUDGE_HOST_FLAG],
  notes: [
    'A line {"policyFile":"PATH"} replaces the policy set for the lines after it. Exit code 0, or 2 when\n' +
      'a line cannot be understood (the other lines are answered).',
    SERVICES_NOTE,
  ],
  examples: [
    'echo \'{"endpoint":"default/api","remote":"default/client","port":80,"http":{"method":"GET","path":"/"}}\' \\\n' +
      '    | sallyport verdict -p policies/ --endpoints endpoints.yaml',
  ],
};

export const SERVICE_SPEC: VerbSpec = {
  name: 'service',
  about: 'Lists what clients dial to reach Services, and the backends behind each address',
  argumentsForm: 'list',
  argumentCountMin: 1,
  argumentCountMax: 1,
  flags: [
    { name: 'config', short: 'c', value: 'FILE', about: 'those that this configuration names' },
    { name: 'endpoints', value: 'FILE', about: 'those of an endpoints file' },
    { name: 'kube', about: 'those that are in a Kubernetes cluster now' },
    ...ACCESS_FLAGS,
    { name: 'namespace', short: 'n', value: 'NAME', about: 'those of one namespace only' },
    OUTPUT_FLAG,
  ],
  notes: [
    'The backends are those that a client on some node is sent to. A node with hints for its zone, or with\n' +
      'policy Local, sends to fewer of them (docs/services.md).',
  ],
  examples: [
    'sallyport service list --kube -n shop',
    'sallyport service list -c sallyport.yaml -o json',
  ],
};

export const BENCH_SPEC: VerbSpec = {
  name: 'bench',
  about: 'Measures what the proxy adds to your requests, and what each of your rules costs',
  argumentsForm: '[POLICY...]',
  argumentCountMin: 0,
  argumentCountMax: Number.POSITIVE_INFINITY,
  flags: [
    ...SOURCE_FLAGS,
    {
      name: 'requests',
      value: 'FILE',
      about:
        'requests as `verdict` reads them, a file of `sallyport test`, or - for standard input',
    },
    {
      name: 'upstream',
      value: 'URL',
      about: 'http://HOST:PORT to send allowed requests to (default: an embedded origin)',
    },
    { name: 'connections', value: 'COUNT', about: 'requests under way at once (default: 8)' },
    { name: 'seconds', value: 'COUNT', about: 'length of a round, each way (default: 5)' },
    { name: 'rounds', value: 'COUNT', about: 'number of rounds (default: 3)' },
    { name: 'no-access-log', about: 'write no access log; by default it goes to a file' },
    OUTPUT_FLAG,
  ],
  notes: [
    'Starts the proxy with one worker on loopback. Sends the requests through it, and by turns sends\n' +
      'the allowed ones directly to the origin. A test file brings its own policies; -p replaces them.\n' +
      'Requests that cannot be sent over HTTP/1.1 are judged in process only; the report names them.',
    'Exit code 0: every answer was as judged, 1: an answer was not, or the proxy failed, 2: wrong usage.',
  ],
  examples: [
    'sallyport bench -p policies/ --endpoints endpoints.yaml --requests requests.jsonl',
    'sallyport bench --requests tests/orders.test.yaml --connections 1 -o json',
  ],
};

export const DEMO_SPEC: VerbSpec = {
  name: 'demo',
  about: 'Shows the proxy at work on loopback: an origin, policies, three identities',
  argumentsForm: '',
  argumentCountMin: 0,
  argumentCountMax: 0,
  flags: [{ name: 'once', about: 'end after the table instead of staying up' }],
  examples: ['npm run demo'],
};
