"""Supabase Storage as a service: its paths, its faults, and the project's one bucket."""

from __future__ import annotations

from typing import ClassVar

from starlette.routing import BaseRoute

from lead_intel.sandbox import settings
from lead_intel.sandbox.bucket_store import BucketStore
from lead_intel.sandbox.faults import Fault
from lead_intel.sandbox.service import Answer, Service, retry_after
from lead_intel.sandbox.storage_access import Access
from lead_intel.sandbox.storage_buckets import BucketEndpoints
from lead_intel.sandbox.storage_objects import ObjectEndpoints
from lead_intel.sandbox.storage_resumable import ResumableEndpoints
from lead_intel.sandbox.storage_signed import SignedEndpoints
from lead_intel.sandbox.supabase_project import problem

_LEAD_LIST_TYPES = (
    "text/csv", "text/plain", "text/tab-separated-values", "text/comma-separated-values", "application/csv",
    "application/x-csv", "application/vnd.ms-excel", "application/octet-stream", "application/zip",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
)  # fmt: skip
"""Wider than text/csv: browsers and clients call a CSV many things, and the product looks at the bytes."""

_BUCKET_LIMIT = 524_288_000


class SupabaseStorage(Service):
    """Everything under /storage/v1."""

    name = "supabase_storage"
    prefix = "/supabase/storage/v1"
    kinds: ClassVar = {
        "bucket_gone": "the bucket is not there (a list of it is an empty 200); its objects come back with it",
        "bucket_public": "the bucket shows as public",
        "bucket_unlimited": "the bucket has no size limit",
        "bucket_types": "the bucket allows `types` only (default image/png)",
        "database_timeout": "544, the database timed out",
        "cut": "a resumable upload's connection dies after `bytes` bytes of a chunk were taken, and kept",
        "narrow": "a resumable upload's bytes are taken at `bytes_per_second`",
        "upload_expired": "a resumable upload's URL has expired (410) and stays so",
    }

    def set_up(self) -> None:
        """The project's bucket."""
        self._store = BucketStore(self.home, self.memory)
        if not self._store.buckets():
            self._seed()
        access = Access(self.name, self._store, self.switches, self.memory)
        self._buckets = BucketEndpoints(access)
        self._objects = ObjectEndpoints(access)
        self._signed = SignedEndpoints(access, self._objects)
        self._resumable = ResumableEndpoints(access, self.home)

    def reset(self) -> None:
        """An empty project with its bucket."""
        self._store.sweep()
        self._resumable.sweep()
        self._seed()

    def _seed(self) -> None:
        self._store.create_bucket(settings.BUCKET, _LEAD_LIST_TYPES, _BUCKET_LIMIT, public=False)

    def routes(self) -> list[BaseRoute]:
        """The paths, the particular ones before the general."""
        buckets, objects, signed, resumable = self._buckets, self._objects, self._signed, self._resumable
        key = "{bucket}/{key:path}"
        return [
            self.route("OPTIONS", "/upload/resumable", resumable.options),
            self.route("POST", "/upload/resumable", resumable.create),
            self.route("HEAD", "/upload/resumable/{id}", resumable.head),
            self.route("PATCH", "/upload/resumable/{id}", resumable.append),
            self.route("DELETE", "/upload/resumable/{id}", resumable.terminate),
            self.route("GET", "/bucket", buckets.list_all),
            self.route("POST", "/bucket", buckets.create),
            self.route("GET", "/bucket/{bucket}", buckets.get),
            self.route("PUT", "/bucket/{bucket}", buckets.update),
            self.route("DELETE", "/bucket/{bucket}", buckets.delete),
            self.route("POST", "/bucket/{bucket}/empty", buckets.empty),
            self.route("POST", "/object/list/{bucket}", objects.list_v1),
            self.route("POST", "/object/list-v2/{bucket}", objects.list_v2),
            self.route("POST", "/object/move", objects.move),
            self.route("POST", "/object/copy", objects.copy),
            self.route("POST", "/object/sign/{bucket}", signed.sign_many),
            self.route("POST", f"/object/sign/{key}", signed.sign),
            self.route("GET", f"/object/sign/{key}", signed.download),
            self.route("POST", f"/object/upload/sign/{key}", signed.sign_upload),
            self.route("PUT", f"/object/upload/sign/{key}", signed.upload),
            self.route("GET", f"/object/info/authenticated/{key}", objects.info),
            self.route("GET", f"/object/info/{key}", objects.info),
            self.route("GET", f"/object/authenticated/{key}", objects.download),
            self.route("GET", f"/object/public/{key}", objects.download_public),
            self.route("GET", f"/object/{key}", objects.download),
            self.route("POST", f"/object/{key}", objects.upload),
            self.route("PUT", f"/object/{key}", objects.upload),
            self.route("DELETE", f"/object/{key}", objects.remove_one),
            self.route("DELETE", "/object/{bucket}", objects.remove),
        ]

    def refusal(self, fault: Fault) -> Answer:
        """Storage's bodies; a connection limit is a 429 with SlowDown."""
        codes = {"rate_limited": "SlowDown", "quota": "SlowDown", "server_error": "InternalError"}
        if fault.kind in codes:
            answer = problem(codes[fault.kind])
            answer.headers.update(retry_after(fault))
            return answer
        if fault.kind in {"unauthorized", "forbidden"}:
            return problem("AccessDenied", "signature verification failed")
        return super().refusal(fault)
