/** The part of Kubernetes' Container Runtime Interface, runtime.v1, that is asked here: names and numbers of its fields. */
import {
  type Client,
  type ClientUnaryCall,
  loadPackageDefinition,
  type ServiceClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';

export interface CriMetadata {
  readonly name: string;
  readonly uid?: string;
  readonly namespace?: string;
}
export interface CriImage {
  readonly image: string;
  readonly userSpecifiedImage: string;
}
export interface CriContainer {
  readonly id: string;
  readonly podSandboxId: string;
  readonly metadata: CriMetadata | null;
  readonly image: CriImage | null;
  readonly labels: Readonly<Record<string, string>>;
}
export interface CriSandbox {
  readonly id: string;
  readonly metadata: CriMetadata | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface CriMethods {
  Version: [request: object, response: { readonly runtimeName: string }];
  ListContainers: [
    request: { filter?: { id: string } },
    response: { readonly containers: readonly CriContainer[] },
  ];
  ContainerStatus: [
    request: { containerId: string },
    response: { readonly status: { readonly image: CriImage | null } | null },
  ];
  ListPodSandbox: [
    request: { filter?: { id: string } },
    response: { readonly items: readonly CriSandbox[] },
  ];
}
export type CriMethod = keyof CriMethods;
export type CriRequest<M extends CriMethod> = CriMethods[M][0];
export type CriResponse<M extends CriMethod> = CriMethods[M][1];

export type CriService = Client &
  Readonly<
    Record<
      CriMethod,
      (
        request: object,
        options: { deadline: number },
        callback: (error: ServiceError | null, response?: object) => void,
      ) => ClientUnaryCall
    >
  >;

const text = (id: number) => ({ type: 'string', id });
const of = (type: string, id: number) => ({ type, id });
const many = (type: string, id: number) => ({ rule: 'repeated' as const, type, id });
const map = (id: number) => ({ keyType: 'string', type: 'string', id });

const messages = {
  VersionRequest: {},
  VersionResponse: { runtimeName: text(2) },
  IdFilter: { id: text(1) },
  ImageSpec: { image: text(1), userSpecifiedImage: text(18) },
  ContainerMetadata: { name: text(1) },
  Container: {
    id: text(1),
    podSandboxId: text(2),
    metadata: of('ContainerMetadata', 3),
    image: of('ImageSpec', 4),
    labels: map(8),
  },
  ListContainersRequest: { filter: of('IdFilter', 1) },
  ListContainersResponse: { containers: many('Container', 1) },
  ContainerStatusRequest: { containerId: text(1) },
  ContainerStatus: { image: of('ImageSpec', 8) },
  ContainerStatusResponse: { status: of('ContainerStatus', 1) },
  PodSandboxMetadata: { name: text(1), uid: text(2), namespace: text(3) },
  PodSandbox: {
    id: text(1),
    metadata: of('PodSandboxMetadata', 2),
    labels: map(5),
    annotations: map(6),
  },
  ListPodSandboxRequest: { filter: of('IdFilter', 1) },
  ListPodSandboxResponse: { items: many('PodSandbox', 1) },
};

const methods: readonly CriMethod[] = [
  'Version',
  'ListContainers',
  'ContainerStatus',
  'ListPodSandbox',
];

const definition = fromJSON(
  {
    nested: {
      runtime: {
        nested: {
          v1: {
            nested: {
              ...Object.fromEntries(
                Object.entries(messages).map(([name, fields]) => [name, { fields }]),
              ),
              RuntimeService: {
                methods: Object.fromEntries(
                  methods.map((name) => [
                    name,
                    { requestType: `${name}Request`, responseType: `${name}Response`, comment: '' },
                  ]),
                ),
              },
            },
          },
        },
      },
    },
  },
  { defaults: true },
);

/** For clients, and for servers of tests. */
export const CriRuntimeService = (
  loadPackageDefinition(definition) as unknown as {
    runtime: { v1: { RuntimeService: ServiceClientConstructor } };
  }
).runtime.v1.RuntimeService;
