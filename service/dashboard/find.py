"""The search box: an id leads to what it names, any other text to the jobs that contain it."""

from uuid import UUID

from fastapi import Response

from service.dashboard.page_route import page_router
from service.dashboard.shell import PageDep

router = page_router()


@router.get("/find")
async def find(page: PageDep, q: str = "") -> Response:
    text = q.strip()
    try:
        job_id = str(UUID(text))
    except ValueError:
        return page.redirect("/jobs", q=text)
    return page.redirect(f"/jobs/{job_id}")
