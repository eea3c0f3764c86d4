/**
 * A runtime of Kubernetes that answers as containerd 1.6.20 did: its answers were recorded, bytes as they came, when it ran
 * pod shop/web-0 as kubelet asks for it (labels of kubelet's, the image by its id). No kubelet can run here.
 */
import { Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';

/** Of the recorded pod. */
export const podUid = '3d1b5b0e-6c1f-4c39-9d6f-8a1c2f3e4d5b';
const recordedContainer = '980ec61e8b9827f92e1783837c573bb9cc44cc803641f9487999967e963dc337';
const recordedSandbox = '9ef920ae8690c1899a9e23bfd001764b0d0d116ec40d5fc7e5ae67520011e4e1';
const recorded = {
  Version: 'CgUwLjEuMBIKY29udGFpbmVyZBoKMS42LjIwfmRzMSICdjE=',
  ListContainers:
    'CtkDCkA5ODBlYzYxZThiOTgyN2Y5MmUxNzgzODM3YzU3M2JiOWNjNDRjYzgwMzY0MWY5NDg3OTk5OTY3ZTk2M2RjMzM3EkA5' +
    'ZWY5MjBhZTg2OTBjMTg5OWE5ZTIzYmZkMDAxNzY0YjBkMGQxMTZlYzQwZDVmYzdlNWFlNjc1MjAwMTFlNGUxGgcKBW5naW54' +
    'IkkKR3NoYTI1NjpkODViMDdiNmU0ZmYwMmU4ZGMxMjM2MzI5MDgxZTE5NTA5NmZhYzJkMDQyMzYzMTU2YjljY2Y2ZjIwMzY5' +
    'NzdjKkdzaGEyNTY6ZDg1YjA3YjZlNGZmMDJlOGRjMTIzNjMyOTA4MWUxOTUwOTZmYWMyZDA0MjM2MzE1NmI5Y2NmNmYyMDM2' +
    'OTc3YzABOMOF3P2Akon1GEIlChxpby5rdWJlcm5ldGVzLmNvbnRhaW5lci5uYW1lEgVuZ2lueEI9ChVpby5rdWJlcm5ldGVz' +
    'LnBvZC51aWQSJDNkMWI1YjBlLTZjMWYtNGMzOS05ZDZmLThhMWMyZjNlNGQ1YkIjChtpby5rdWJlcm5ldGVzLnBvZC5uYW1l' +
    'c3BhY2USBHNob3BCHwoWaW8ua3ViZXJuZXRlcy5wb2QubmFtZRIFd2ViLTA=',
  ContainerStatus:
    'CoADCkA5ODBlYzYxZThiOTgyN2Y5MmUxNzgzODM3YzU3M2JiOWNjNDRjYzgwMzY0MWY5NDg3OTk5OTY3ZTk2M2RjMzM3EgcK' +
    'BW5naW54GAEgw4Xc/YCSifUYKOGXk6OBkon1GEIjCiFyZWdpc3RyeS5leGFtcGxlLmNvbS9zaG9wL3dlYjoyLjFKR3NoYTI1' +
    'NjpkODViMDdiNmU0ZmYwMmU4ZGMxMjM2MzI5MDgxZTE5NTA5NmZhYzJkMDQyMzYzMTU2YjljY2Y2ZjIwMzY5NzdjYj0KFWlv' +
    'Lmt1YmVybmV0ZXMucG9kLnVpZBIkM2QxYjViMGUtNmMxZi00YzM5LTlkNmYtOGExYzJmM2U0ZDViYiMKG2lvLmt1YmVybmV0' +
    'ZXMucG9kLm5hbWVzcGFjZRIEc2hvcGIfChZpby5rdWJlcm5ldGVzLnBvZC5uYW1lEgV3ZWItMGIlChxpby5rdWJlcm5ldGVz' +
    'LmNvbnRhaW5lci5uYW1lEgVuZ2lueIIBAgoA',
  ListPodSandbox:
    'Cq0CCkA5ZWY5MjBhZTg2OTBjMTg5OWE5ZTIzYmZkMDAxNzY0YjBkMGQxMTZlYzQwZDVmYzdlNWFlNjc1MjAwMTFlNGUxEjMK' +
    'BXdlYi0wEiQzZDFiNWIwZS02YzFmLTRjMzktOWQ2Zi04YTFjMmYzZTRkNWIaBHNob3Ags4roxICSifUYKgoKA2FwcBIDd2Vi' +
    'Kj0KFWlvLmt1YmVybmV0ZXMucG9kLnVpZBIkM2QxYjViMGUtNmMxZi00YzM5LTlkNmYtOGExYzJmM2U0ZDViKiMKG2lvLmt1' +
    'YmVybmV0ZXMucG9kLm5hbWVzcGFjZRIEc2hvcCofChZpby5rdWJlcm5ldGVzLnBvZC5uYW1lEgV3ZWItMCoZChFwb2QtdGVt' +
    'cGxhdGUtaGFzaBIENWQ0Zg==',
} as const;

export class RecordedCri {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param container - the id that stands in for the recorded one @param sandbox - the same of its pod's */
  static async start(socket: string, container: string, sandbox: string): Promise<RecordedCri> {
    const server = new Server();
    const same = (bytes: Buffer) => bytes;
    for (const [method, text] of Object.entries(recorded)) {
      const bytes = Buffer.from(text, 'base64').toString('latin1');
      const answer = bytes
        .replaceAll(recordedContainer, container)
        .replaceAll(recordedSandbox, sandbox);
      const definition: ServiceDefinition = {
        [method]: {
          path: `/runtime.v1.RuntimeService/${method}`,
          requestStream: false,
          responseStream: false,
          requestSerialize: same,
          requestDeserialize: same,
          responseSerialize: same,
          responseDeserialize: same,
        },
      };
      const handle = (_: unknown, done: (error: null, answer: Buffer) => void) =>
        done(null, Buffer.from(answer, 'latin1'));
      server.addService(definition, { [method]: handle });
    }
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
        error ? reject(error) : resolve(),
      );
    });
    return new RecordedCri(server);
  }

  close(): void {
    this.#server.forceShutdown();
  }
}
