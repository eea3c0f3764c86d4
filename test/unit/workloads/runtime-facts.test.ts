/** Runtimes that answer well, late, wrongly or not at all: servers of this test's on unix sockets. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { type sendUnaryData, Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js';
import pino from 'pino';
import type { ContainerCgroup } from '../../../src/workloads/cgroup-path.ts';
import { CriRuntimeService } from '../../../src/workloads/cri-protocol.ts';
import { RuntimeFacts, type Told } from '../../../src/workloads/runtime-facts.ts';
import type { RuntimeSocket } from '../../../src/workloads/runtime-sockets.ts';

const folder = mkdtempSync('/tmp/fileward-runtimes-');
const closing: (() => void)[] = [];
after(() => {
  for (const close of closing) close();
  rmSync(folder, { recursive: true, force: true });
});

const id = 'a'.repeat(64);
const limitMs = 30_000;
let sockets = 0;

function newSocket(): string {
  sockets += 1;
  return `${folder}/${sockets}.sock`;
}

async function serve(path: string, server: Server): Promise<RuntimeSocket> {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => open.add(socket));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  closing.push(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return { api: 'docker', path };
}

/** A Docker that answers its list of containers with `list`; its events never come. */
function docker(list: RequestListener, path = newSocket()): Promise<RuntimeSocket> {
  const server = createHttpServer((request, response) => {
    if (request.url?.startsWith('/containers/json')) list(request, response);
    else if (request.url?.startsWith('/events')) response.flushHeaders();
    else response.end('OK');
  });
  return serve(path, server);
}

const listed = (more: object): RequestListener => {
  const container = { Id: id, Names: ['/web', '/db/link'], Image: 'nginx:1.27', Labels: {} };
  return (_, response) => response.end(JSON.stringify([{ ...container, ...more }]));
};

const place: ContainerCgroup = { cgroup: `/docker/${id}`, containerId: id, runtime: 'docker' };

/** What is told of a container once it fits. */
async function tell(
  from: readonly RuntimeSocket[],
  of: ContainerCgroup = place,
  fits: (told: Told) => boolean = (told) => !told.asking,
): Promise<Told> {
  const { promise, resolve, reject } = Promise.withResolvers<Told>();
  const look = () => {
    const told = facts.tell(of);
    if (asked && fits(told)) resolve(told);
  };
  let asked = false;
  const facts: RuntimeFacts = new RuntimeFacts({
    log: pino({ level: 'silent' }),
    sockets: from,
    users: false,
    onFacts: look,
    wanted: () => true,
  });
  const timer = setTimeout(() => reject(new Error(JSON.stringify(facts.tell(of)))), limitMs);
  await facts.start();
  facts.ask(of, true);
  asked = true;
  look();
  return await promise.finally(() => {
    clearTimeout(timer);
    facts.close();
  });
}

describe('the Docker API', { concurrency: true }, () => {
  it('tells name, image and labels', async () => {
    const socket = await docker(listed({ Labels: { app: 'web' } }));
    assert.deepEqual((await tell([socket])).facts, {
      runtime: 'docker',
      name: 'web',
      image: 'nginx:1.27',
      labels: { app: 'web' },
    });
  });

  it('tells the image that was asked for where the list has an id only', async () => {
    const path = newSocket();
    const Image = `sha256:${'b'.repeat(64)}`;
    const server = createHttpServer((request, response) => {
      const { url = '' } = request;
      if (url.startsWith('/events')) response.flushHeaders();
      else if (url === `/containers/${id}/json`) {
        response.end(JSON.stringify({ Config: { Image: 'shop/api:3' } }));
      } else if (url.startsWith('/containers/json')) listed({ Image })(request, response);
      else response.end('OK');
    });
    assert.equal((await tell([await serve(path, server)])).facts?.image, 'shop/api:3');
  });

  it('tells the pod of what kubelet has Docker run', async () => {
    const sandboxId = 'c'.repeat(64);
    const ofPod = {
      'io.kubernetes.pod.name': 'web-0',
      'io.kubernetes.pod.namespace': 'shop',
      'io.kubernetes.pod.uid': 'u1',
    };
    const app = {
      Id: id,
      Names: ['/k8s_app_web-0'],
      Image: 'nginx',
      Labels: {
        ...ofPod,
        'io.kubernetes.container.name': 'app',
        'io.kubernetes.sandbox.id': sandboxId,
      },
    };
    const labels = { ...ofPod, 'io.kubernetes.docker.type': 'podsandbox', app: 'web' };
    const sandbox = { Id: sandboxId, Names: ['/k8s_POD'], Image: 'pause', Labels: labels };
    const socket = await docker((_, response) => response.end(JSON.stringify([app, sandbox])));
    const pod = { namespace: 'shop', pod: 'web-0', podUid: 'u1', labels };
    assert.deepEqual((await tell([socket])).facts?.kubernetes, { ...pod, container: 'app' });
    const ofSandbox = await tell([socket], { ...place, containerId: sandboxId });
    assert.deepEqual(ofSandbox.facts?.kubernetes, { ...pod, container: '' });
  });

  it('is not believed where it says too much or nonsense', async () => {
    const large = { a: 'x'.repeat(100_000) };
    const bad = { Names: ['x'.repeat(5000)], Image: 7 as unknown as string, Labels: large };
    assert.deepEqual((await tell([await docker(listed({ ...bad, Image: '' }))])).facts, {
      runtime: 'docker',
    });
    assert.deepEqual((await tell([await docker(listed({ Labels: { a: 1 } }))])).facts, {
      runtime: 'docker',
      name: 'web',
      image: 'nginx:1.27',
    });
    const noList = await tell([await docker(listed(bad))]);
    assert.match(noList.why, /it knows no such container/);
  });

  const broken: readonly (readonly [what: string, answer: RequestListener, why: RegExp])[] = [
    ['no JSON', (_, response) => response.end('<html>'), /not valid JSON/],
    ['no list', (_, response) => response.end('{}'), /is no list/],
    ['an error', (_, response) => response.writeHead(500).end('no'), /HTTP 500/],
    ['half an answer', (_, response) => response.write('[', () => response.destroy()), /aborted/],
    [
      'an endless one',
      (_, response) => {
        const more = () => {
          while (!response.destroyed && response.write(Buffer.alloc(1 << 20, ' ')));
        };
        response.on('drain', more);
        more();
      },
      /too long/,
    ],
    [
      'none, for ever',
      ({ url = '' }, response) => {
        if (!url.includes('filters')) response.end('[]');
      },
      /no answer in time/,
    ],
  ];
  for (const [what, answer, why] of broken) {
    it(`says why there are no facts when it answers with ${what}`, async () => {
      const told = await tell([await docker(answer)], place, (each) => why.test(each.why));
      assert.equal(told.facts, undefined);
    });
  }

  it('says so of a socket where somebody else speaks', async () => {
    const server = createServer((socket) => socket.end('220 mail.example ESMTP\r\n'));
    const told = await tell([await serve(newSocket(), server)]);
    assert.equal(told.facts, undefined);
    assert.match(told.why, /\.sock: .*Parse Error/);
  });

  it('is asked for one more time until it knows a container that is new', async () => {
    let asked = 0;
    const socket = await docker((request, response) => {
      const isFind = request.url?.includes('filters') ?? false;
      if (isFind) asked += 1;
      if (isFind && asked > 2) listed({})(request, response);
      else response.end('[]');
    });
    assert.equal((await tell([socket], place, (told) => told.facts !== undefined)).why, '');
  });

  it("tells by Podman's events what its list doesn't yet", async () => {
    const Attributes = { app: 'web', containerExitCode: '0', image: 'a/b:1', name: 'w', podId: '' };
    const event = { Type: 'container', Action: 'create', Actor: { ID: id, Attributes } };
    const server = createHttpServer(({ url = '' }, response) => {
      response.setHeader('Libpod-API-Version', '4.3.1');
      if (url.startsWith('/events')) response.write(`{"Type":"image"}\n${JSON.stringify(event)}\n`);
      else if (!url.includes('filters')) response.end('[]');
    });
    const podmans = { ...place, runtime: 'podman' };
    const told = await tell([await serve(newSocket(), server)], podmans, ({ facts }) => !!facts);
    const labels = { app: 'web' };
    assert.deepEqual(told.facts, { runtime: 'podman', name: 'w', image: 'a/b:1', labels });
  });

  it('is connected to when it comes', async () => {
    const path = newSocket();
    const told = tell([{ api: 'docker', path }], place, ({ facts }) => facts !== undefined);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await docker(listed({}), path);
    assert.equal((await told).facts?.name, 'web');
  });
});

describe('runtimes', () => {
  it('of a user are believed for that user only', async () => {
    const socket = { ...(await docker(listed({}))), user: 1000 };
    const told = await tell([socket]);
    assert.equal(told.facts, undefined);
    assert.match(told.why, /no runtime/);
    assert.equal((await tell([socket], { ...place, user: 1001 })).facts, undefined);
    assert.equal((await tell([socket], { ...place, user: 1000 })).facts?.name, 'web');
    // Nor does the machine's own tell of what a user has named like one of its containers.
    const machines = await docker(listed({}));
    assert.equal((await tell([machines], { ...place, user: 1000 })).facts, undefined);
  });

  it('tell nothing of what runs inside another container', async () => {
    const nested = { ...place, outer: '/docker/outer' };
    assert.equal((await tell([await docker(listed({}))], nested)).facts, undefined);
  });

  it('are asked only for their own', async () => {
    const socket = { ...(await docker(listed({}))), runtime: 'docker' };
    assert.equal((await tell([socket], { ...place, runtime: 'podman' })).facts, undefined);
    assert.equal((await tell([socket], { ...place, runtime: '' })).facts?.runtime, 'docker');
  });
});

type Answer = (request: Record<string, unknown>) => object;

async function cri(answers: Readonly<Record<string, Answer>>): Promise<RuntimeSocket> {
  const path = newSocket();
  const server = new GrpcServer();
  const all: Readonly<Record<string, Answer>> = {
    Version: () => ({ runtimeName: 'cri-o' }),
    ...answers,
  };
  server.addService(
    CriRuntimeService.service,
    Object.fromEntries(
      Object.entries(all).map(([method, answer]) => [
        method,
        (call: { request: Record<string, unknown> }, done: sendUnaryData<object>) =>
          done(null, answer(call.request)),
      ]),
    ),
  );
  await new Promise<void>((resolve, reject) => {
    const credentials = ServerCredentials.createInsecure();
    server.bindAsync(`unix:${path}`, credentials, (error) => (error ? reject(error) : resolve()));
  });
  closing.push(() => server.forceShutdown());
  return { api: 'cri', path };
}

describe('the Container Runtime Interface', { concurrency: true }, () => {
  const ofCrio = { ...place, runtime: 'cri-o' };
  const container = {
    id,
    podSandboxId: 's1',
    metadata: { name: 'app' },
    image: { image: `${'b'.repeat(64)}` },
    labels: { 'io.kubernetes.container.name': 'app' },
  };
  const sandbox = {
    id: 's1',
    metadata: { name: 'web-0', uid: 'u1', namespace: 'shop' },
    labels: { app: 'web' },
  };

  it('tells the pod, and the name of an image that kubelet asked for by id', async () => {
    const socket = await cri({
      ListContainers: () => ({ containers: [container] }),
      ListPodSandbox: () => ({ items: [sandbox] }),
      ContainerStatus: () => ({ status: { image: { image: 'quay.io/shop/web:3' } } }),
    });
    assert.deepEqual((await tell([socket], ofCrio)).facts, {
      runtime: 'cri-o',
      name: 'app',
      image: 'quay.io/shop/web:3',
      labels: container.labels,
      kubernetes: {
        namespace: 'shop',
        pod: 'web-0',
        podUid: 'u1',
        container: 'app',
        labels: { app: 'web' },
      },
    });
  });

  it('tells the image as the pod names it where the runtime knows that', async () => {
    const image = { image: container.image.image, userSpecifiedImage: 'web:4' };
    const socket = await cri({
      ListContainers: () => ({ containers: [{ ...container, image }] }),
      ListPodSandbox: () => ({ items: [] }),
    });
    const { facts } = await tell([socket], ofCrio);
    assert.equal(facts?.image, 'web:4');
    // Its pod is not there: of Kubernetes, and not known which.
    assert.deepEqual(facts?.kubernetes, {});
  });

  it('says why there are no facts when it fails, is none or answers for ever', async () => {
    const none = {
      ListContainers: () => ({ containers: [] }),
      ListPodSandbox: () => ({ items: [] }),
    };
    assert.match((await tell([await cri(none)], ofCrio)).why, /knows no such container/);
    const old = await cri({});
    assert.match((await tell([old], ofCrio)).why, /UNIMPLEMENTED/);
    const huge = { containers: [{ ...container, labels: { a: 'x'.repeat(17 * 1024 * 1024) } }] };
    const large = await cri({ ...none, ListContainers: () => huge });
    assert.match((await tell([large], ofCrio)).why, /RESOURCE_EXHAUSTED/);
    const web = await docker(listed({}));
    assert.match((await tell([{ ...web, api: 'cri' }], ofCrio)).why, /UNAVAILABLE/);
  });
});
